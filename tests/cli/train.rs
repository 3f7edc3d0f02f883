//! `crformer-train`, run as a user runs it: starting it and looking at what it did.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The subcommands, each from start to end.
mod commands;
/// Files that cannot be written.
mod disk;
/// Killed at any moment.
mod kill;
/// Settings: what is refused, and what is said about it.
mod settings;
/// Stopped and resumed.
mod stop;

/// A folder with drawn scenes and the settings of a tiny run.
pub struct Tiny {
    pub folder: tempfile::TempDir,
    pub settings: PathBuf,
}

impl Tiny {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = crate::tiny::prepare(folder.path());
        Self { folder, settings }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `crformer-train train` of the tiny run into `out`.
    pub fn train(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = program(&["train"]);
        command.arg("--config").arg(&self.settings).arg("--out").arg(out).args(more);
        command
    }

    /// Trains to the end.
    pub fn trained(&self, name: &str, more: &[&str]) -> PathBuf {
        let out = self.path(name);
        succeeds(&mut self.train(&out, more));
        out
    }
}

pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crformer-train"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command that must end with code 0; its standard output.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(0), "{command:?}: {}", errors(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a command that must end with `code`; what it said on the standard error stream.
pub fn fails(command: &mut Command, code: i32) -> String {
    let output = command.output().expect("the program starts");
    let errors = errors(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

pub fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a run learnt: weights and moments of its last checkpoint, byte for byte.
pub fn learnt(out: &Path) -> [Vec<u8>; 2] {
    ["model.safetensors", "optimiser.safetensors"].map(|file| {
        let path = out.join("checkpoints/last").join(file);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    })
}

/// The lines of a run's log without the speed, which differs from run to run.
pub fn metrics(out: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(out.join("metrics.jsonl")).expect("a log");
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).expect("JSON");
        value.as_object_mut().expect("an object").remove("images_per_s");
        value
    };
    text.lines().map(line).collect()
}

/// Names in a folder and the folders in it, links not followed.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        names.push(entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().expect("its type").is_dir() {
            names.extend(self::names(&entry.path()));
        }
    }
    names.sort();
    names
}

/// Nothing that was being written is left over.
pub fn assert_no_leftovers(out: &Path) {
    let left: Vec<String> = names(out).into_iter().filter(|n| n.ends_with(".part")).collect();
    assert!(left.is_empty(), "left over: {left:?}");
}
