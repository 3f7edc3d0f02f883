//! Places that cannot be written to: an error that names them, and nothing half written.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;

use super::{Run, program, run, run_limited};
use crate::fixture::Folder;

#[test]
fn an_output_folder_that_cannot_be_written() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    run(&folder, &["--out", "a.png", "a.png", "left"]).refused(1, &["a.png: making the output"]);
    run(&folder, &["--out", "a.png/b", "a.png", "left"])
        .refused(3, &["a.png/b: making the output"]);
    if !Path::new("/proc/self").exists() {
        println!("skipped: this system has no /proc, in which nobody may make a file");
        return;
    }
    let refused = run(&folder, &["--out", "/proc", "a.png", "left"]);
    refused.refused(3, &["/proc/a-1.mask.png: writing failed"]);
}

/// The mask of one colour fits into a block, the overlay of noise does not: neither stays.
#[test]
fn a_full_disk_leaves_nothing() {
    let folder = Folder::new();
    folder.picture("a.png", 200, 200);
    let asked = ["--out", "out", "a.png", "left"];
    let refused = run_limited(&folder, "ulimit -f 8", &asked);
    refused.refused(1, &["out/a-1.overlay.png: writing failed", "File too large"]);
    assert!(folder.names("out").is_empty(), "{:?}", folder.names("out"));
    let list = "{\"picture\": \"a.png\", \"phrase\": \"left\"}\n\
                {\"picture\": \"b.png\", \"phrase\": \"left\"}";
    folder.picture("b.png", 20, 30);
    fs::write(folder.path("pairs.jsonl"), list).expect("written");
    let asked = ["--out", "out", "--pairs", "pairs.jsonl"];
    let lines = run_limited(&folder, "ulimit -f 8", &asked).lines(6);
    assert!(lines[0]["error"].as_str().expect("an error").contains("File too large"));
    assert_eq!(folder.names("out"), ["b-2.mask.png", "b-2.overlay.png"]);
}

#[test]
fn lines_that_nobody_takes_are_an_error() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    let Ok(full) = File::create("/dev/full") else {
        println!("skipped: this system has no /dev/full");
        return;
    };
    let output = program(&folder, &["a.png", "left"]).stdout(full).stderr(Stdio::piped()).output();
    Run::of(output.expect("ended")).refused(1, &["standard output: writing failed", "No space"]);
}
