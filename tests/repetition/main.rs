//! A run on a CUDA device and its repetition: the same bits in every weight, moment and loss after twenty steps.
//!
//! The device is the PTX machine, or the one that `CRFORMER_TEST_DEVICE` names. The machine runs the repetition's warps
//! in another order and its copies as late as it may: the bits must not depend on either. That is set for the whole
//! process, therefore a program of its own.

use std::path::Path;

use crformer::exec::Machine;
use crformer::train::layers::{Base, resolve};
use crformer::train::run::{Options, train};
use crformer::train::signals::Stop;
use serde_json::Value;

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;

use support::device::{configure, machine};

/// What a run leaves: the files of weights and moments, the lines of its log but for the speed.
#[derive(PartialEq)]
struct Left {
    files: [Vec<u8>; 2],
    log: Vec<Value>,
}

/// Trains `folder/name` on small batches.
fn run(folder: &Path, name: &str, steps: u64, machine: &Machine) -> Left {
    let overrides =
        ["evaluation.split=", "training.batch=1", "run.save_every=20"].map(String::from);
    let settings = resolve(Base::File(&folder.join("tiny.toml")), &overrides).expect("settings");
    let out = folder.join(name);
    let stop_at = Some(steps);
    let options = Options { out: out.clone(), resume: false, stop_at, machine: machine.clone() };
    train(&settings, &options, &Stop::default()).unwrap_or_else(|e| panic!("{e}"));
    let read = |path: &str| std::fs::read(out.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let line = |line: &str| {
        let mut value: Value = serde_json::from_str(line).expect("JSON");
        value.as_object_mut().expect("an object").remove("images_per_s");
        value
    };
    let log = String::from_utf8(read("metrics.jsonl")).expect("text");
    Left {
        files: ["model", "optimiser"].map(|f| read(&format!("checkpoints/last/{f}.safetensors"))),
        log: log.lines().map(line).collect(),
    }
}

#[test]
fn twenty_steps_have_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    tiny::prepare(folder.path());
    for precision in ["bf16", "f32"] {
        let machine = machine(precision);
        let Machine::Cuda { device, .. } = &machine else { panic!("a CUDA device") };
        let name = |run: &str| format!("{precision}-{run}");
        configure(device, "races=0 adversarial=off");
        let begun = run(folder.path(), &name("begun"), 1, &machine);
        let first = run(folder.path(), &name("first"), 20, &machine);
        configure(device, "races=0 adversarial=7");
        let second = run(folder.path(), &name("second"), 20, &machine);
        assert!(first.log.len() >= 20, "{} lines of the log", first.log.len());
        assert_eq!(first.log, second.log, "{precision}: other losses");
        assert!(first.files == second.files, "{precision}: other weights or moments");
        assert!(first.files[0] != begun.files[0], "{precision}: nothing was learnt");
    }
}
