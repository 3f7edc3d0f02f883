//! Pictures, phrases and lists that are wrong: the file and place are named, nothing is left.

use std::fs;

use super::{run, run_limited};
use crate::fixture::Folder;

const HUGE: [&str; 3] = ["huge.png", "huge.jpg", "heavy.png"];

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/image/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_wrong_picture_is_named() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    let bytes = fs::read(folder.path("a.png")).expect("read");
    fs::write(folder.path("cut.png"), &bytes[..bytes.len() / 2]).expect("written");
    fs::write(folder.path("none.png"), b"").expect("written");
    fs::write(folder.path("text.png"), b"a picture of a cat").expect("written");
    let cases = [
        ("missing.png", "missing.png: reading failed: No such file"),
        ("cut.png", "cut.png: the picture cannot be decoded"),
        ("none.png", "none.png: the file is empty"),
        ("text.png", "text.png: neither JPEG nor PNG"),
        ("model", "model: reading failed"),
        ("/dev/zero", "/dev/zero: longer than"),
    ];
    for (picture, said) in cases {
        run(&folder, &["--out", "out", picture, "left"]).refused(3, &[said]);
    }
    assert!(folder.names("out").is_empty(), "{:?}", folder.names("out"));
}

/// The sizes stand in the first bytes: with room for the program, but for no such picture.
#[test]
fn a_picture_of_20000_by_20000_takes_no_memory() {
    let folder = Folder::new();
    for name in HUGE {
        let picture = fixture(name);
        let asked = ["--threads", "2", "--out", "out", &picture, "left"];
        run_limited(&folder, "ulimit -v 700000", &asked).refused(3, &[name, "16384"]);
    }
    folder.picture("a.png", 20, 30);
    let asked = ["--threads", "2", "a.png", "left"];
    run_limited(&folder, "ulimit -v 700000", &asked).lines(0);
}

#[test]
fn a_phrase_without_a_word_is_refused() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    for phrase in ["", " \t ", "\u{200b}"] {
        let refused = run(&folder, &["--out", "out", "a.png", phrase]);
        refused.refused(3, &["a.png: the phrase", "empty"]);
    }
    assert!(folder.names("out").is_empty());
}

#[test]
fn wrong_lines_of_a_list_are_told_and_the_others_go_on() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    let list = [
        r#"{"picture": "missing.png", "phrase": "left", "id": 1}"#,
        r#"{"picture": "a.png", "phrase": "left", "id": 2}"#,
        r#"{"picture": "a.png", "phrase": "left", "box": 3}"#,
        r#"{"picture": "a.png", "phrase": ""}"#,
        r#"{"picture": "a.png", "phrase": "red"}"#,
        r#"{"picture": "a.png", "phr"#,
    ];
    fs::write(folder.path("pairs.jsonl"), list.join("\n")).expect("written");
    let done = run(&folder, &["--pairs", "pairs.jsonl", "--out", "out"]);
    assert!(done.err.contains("4 of 6 failed"), "{}", done.err);
    let lines = done.lines(6);
    let said = [
        Some("missing.png: reading failed"),
        None,
        Some("pairs.jsonl: line 3: column 44: unknown field `box`"),
        Some("a.png: the phrase \"\" is empty"),
        None,
        Some("pairs.jsonl: line 6: column 25: EOF while parsing a string"),
    ];
    assert_eq!(lines.len(), said.len());
    for (line, said) in lines.iter().zip(said) {
        match (line["error"].as_str(), said) {
            (Some(error), Some(said)) => assert!(error.contains(said), "{error}"),
            (error, said) => assert_eq!((error, said), (None, None), "{line}"),
        }
    }
    assert_eq!((&lines[0]["id"], &lines[0]["picture"]), (&1.into(), &"missing.png".into()));
    assert_eq!((&lines[2]["line"], lines[2].get("picture")), (&3.into(), None));
    let names = ["a-2.mask.png", "a-2.overlay.png", "a-5.mask.png", "a-5.overlay.png"];
    assert_eq!(folder.names("out"), names);
}

#[test]
fn a_list_that_cannot_be_read_is_an_error() {
    let folder = Folder::new();
    let cases = [
        ("missing.jsonl", "missing.jsonl: reading failed: No such file"),
        ("model", "model: reading failed"),
        ("/dev/zero", "/dev/zero: longer than"),
    ];
    for (list, said) in cases {
        run(&folder, &["--pairs", list, "--out", "out"]).refused(3, &[said]);
    }
    assert_eq!(folder.names(""), ["model"]);
}
