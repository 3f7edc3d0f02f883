//! What is refused on the command line, and what `--help` says.

use std::fs;
use std::process::Command;

use super::{Run, run};
use crate::fixture::Folder;

#[test]
fn help_names_every_exit_code() {
    let help = run(&Folder::new(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for code in ["0", "1", "2", "3", "4", "5", "6", "130", "143"] {
        let named = |line: &str| line.trim_start().starts_with(&format!("{code}  "));
        assert!(help.out.lines().any(named), "{code} in {}", help.out);
    }
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let folder = Folder::new();
    folder.picture("a.png", 4, 4);
    let cases: [(&[&str], &str); 11] = [
        (&[], "--pairs"),
        (&["a.png"], "PHRASE"),
        (&["--picture", "a.png"], "--phrase"),
        (&["--phrase", "left"], "--picture"),
        (&["a.png", "left", "--phrase", "red"], "cannot be used with"),
        (&["--pairs", "-", "a.png", "left"], "cannot be used with"),
        (&["--pairs", "-", "--picture", "a.png", "--phrase", "left"], "cannot be used with"),
        (&["a.png", "left", "--threads", "0"], "--threads"),
        (&["a.png", "left", "--device", "cuda:99"], "use --device cpu"),
        (&["a.png", "left", "--device", "gpu"], "there are cpu, cuda:N and vm"),
        (&["a.png", "left", "--batch", "2"], "--batch"),
    ];
    for (arguments, said) in cases {
        run(&folder, arguments).refused(2, &[said]);
    }
    assert_eq!(folder.names(""), ["a.png", "model"], "nothing was written");
}

#[test]
fn the_demo_model_of_the_current_folder_is_taken_where_none_is_named() {
    let folder = Folder::new();
    folder.picture("a.png", 20, 30);
    fs::create_dir(folder.path("weights")).expect("made");
    fs::copy(folder.path("a.png"), folder.path("weights/b.png")).expect("copied");
    fs::rename(folder.path("model"), folder.path("weights/demo")).expect("moved");
    run(&folder, &["a.png", "left"]).refused(3, &["model: no such folder"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_crformer-infer"));
    command.current_dir(folder.path("")).args(["weights/b.png", "left"]);
    let lines = Run::of(command.output().expect("started")).lines(0);
    assert_eq!(lines[0]["mask"], "b-1.mask.png", "in the current folder, not beside the picture");
}
