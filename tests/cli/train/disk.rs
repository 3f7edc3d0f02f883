//! A checkpoint that cannot be written: an error, and everything before it stands.

use std::process::Command;

use crate::train::{Tiny, assert_no_leftovers, fails, learnt, metrics, names, succeeds};

/// The same command under a limit for the size of files, in blocks of 512 bytes.
fn limited(command: &Command, blocks: usize) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("ulimit -f {blocks}; exec \"$0\" \"$@\""));
    shell.arg(command.get_program()).args(command.get_args());
    shell
}

#[test]
fn no_room_for_a_checkpoint() {
    let tiny = Tiny::new();
    let out = tiny.path("run");
    succeeds(&mut tiny.train(&out, &["--stop-at", "10"]));
    let (before, files) = (learnt(&out), names(&out));
    let longest = before.iter().map(Vec::len).max().expect("two files");
    // Room for the log and the smaller file, not for the larger.
    let blocks = longest / 512 - 8;
    let said = fails(&mut limited(&tiny.train(&out, &["--resume"]), blocks), 1);
    assert!(said.contains("optimiser.safetensors: writing failed"), "{said}");
    assert!(before == learnt(&out), "the last checkpoint changed");
    assert_eq!(files, names(&out));
    assert_no_leftovers(&out);
    succeeds(&mut tiny.train(&out, &["--resume"]));
    let whole = tiny.trained("whole", &[]);
    assert!(learnt(&whole) == learnt(&out), "other weights or moments");
    assert_eq!(metrics(&whole), metrics(&out));
}

/// A full disk for the command's own output.
#[test]
fn a_report_that_nobody_can_keep() {
    let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") else {
        println!("skipped: this system has no /dev/full");
        return;
    };
    let mut command = crate::train::program(&["config", "--preset", "demo"]);
    let said = fails(command.stdout(full), 1);
    assert!(said.contains("standard output: writing failed"), "{said}");
}
