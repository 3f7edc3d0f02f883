//! `crformer-infer`, run as a user runs it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::fixture::Folder;

/// What is answered: masks against naive loops, order, names, pairs.
mod answers;
/// What is refused on the command line, and what `--help` says.
mod command_line;
/// Model folders that are wrong.
mod models;
/// Places that cannot be written to.
mod places;
/// Pictures, phrases and lists that are wrong.
mod questions;

/// How a run ended.
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let run =
            Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
        assert!(!run.err.contains("panicked"), "{}", run.err);
        run
    }

    /// The lines of a run that ended with `code`.
    fn lines(&self, code: i32) -> Vec<Value> {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        self.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// Asserts that it ended with `code`, gave nothing on standard output, and said each of `said`.
    fn refused(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert_eq!(self.out, "");
        for part in said {
            assert!(self.err.contains(part), "{part:?} is not in: {}", self.err);
        }
    }
}

/// The program in `folder`, with its model.
fn program(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crformer-infer"));
    command.current_dir(folder.path("")).args(["--model", "model"]).args(arguments);
    command
}

fn run(folder: &Folder, arguments: &[&str]) -> Run {
    Run::of(program(folder, arguments).output().expect("started"))
}

fn run_with_input(folder: &Folder, arguments: &[&str], input: &[u8]) -> Run {
    let mut command = program(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    child.stdin.take().expect("piped").write_all(input).expect("taken");
    Run::of(child.wait_with_output().expect("ended"))
}

/// The program after `limit`, a line of shell such as `ulimit -f 1`.
fn run_limited(folder: &Folder, limit: &str, arguments: &[&str]) -> Run {
    let direct = program(folder, arguments);
    let mut command = Command::new("sh");
    command.current_dir(folder.path("")).args(["-c", &format!("{limit}; exec \"$@\""), "sh"]);
    command.arg(direct.get_program()).args(direct.get_args());
    Run::of(command.output().expect("started"))
}
