//! Runs that change the device on the way, and runs on a device that are stopped: checkpoints are the same files.

use std::path::Path;

use crformer::error::ErrorKind;
use crformer::exec::Machine;
use crformer::train::layers::{Base, resolve};
use crformer::train::run::{Options, train};
use crformer::train::signals::Stop;
use crformer::train::trainer::Trainer;
use crformer::weights::TensorFile;

use super::support::device::machine;

/// Trains, or goes on training, `folder/name` to `step`; the weights then.
fn weights(folder: &Path, name: &str, step: u64, machine: &Machine) -> TensorFile {
    // A larger eps: where a gradient is nothing but rounding, its step is not its sign.
    let overrides = ["evaluation.split=", "optimiser.eps=1e-4"].map(String::from);
    let settings = resolve(Base::File(&folder.join("tiny.toml")), &overrides).expect("settings");
    let out = folder.join(name);
    let options =
        Options { out: out.clone(), resume: true, stop_at: Some(step), machine: machine.clone() };
    train(&settings, &options, &Stop::default()).unwrap_or_else(|e| panic!("{e}"));
    TensorFile::open(&out.join("checkpoints/last/model.safetensors")).expect("weights")
}

/// The largest difference as a share of the largest number of its tensor.
fn difference(a: &TensorFile, b: &TensorFile) -> f64 {
    assert_eq!(a.names(), b.names());
    let of = |name: &String| {
        let (a, b) = (a.real(name).expect("numbers"), b.real(name).expect("numbers"));
        let largest = a.iter().fold(1e-3f64, |largest, x| largest.max(x.abs()));
        a.iter().zip(&b).map(|(a, b)| (a - b).abs() / largest).fold(0.0, f64::max)
    };
    a.names().iter().map(of).fold(0.0, f64::max)
}

#[test]
fn a_run_goes_on_on_another_device() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::tiny::prepare(folder.path());
    let (cpu, device) = (Machine::Cpu, machine("f32"));
    let want = weights(folder.path(), "cpu", 4, &cpu);
    for (name, first, second) in [("up", &cpu, &device), ("down", &device, &cpu)] {
        let begun = weights(folder.path(), name, 2, first);
        let ended = weights(folder.path(), name, 4, second);
        assert!(difference(&begun, &ended) > 1e-4, "{name}: nothing was learnt after the change");
        let difference = difference(&want, &ended);
        assert!(difference <= 1e-2, "{name}: off by {difference:.1e} from a run on the CPU");
    }
}

/// What is hidden in the MLPs is kept if it fits, else made again, unless the settings say which; what still does not
/// fit is an error, evaluations' room included.
#[test]
fn what_does_not_fit_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::tiny::prepare(folder.path());
    let machine = machine("bf16");
    let Machine::Cuda { device, .. } = &machine else { panic!("a device") };
    if !device.name().starts_with("PTX machine") {
        println!("skipped: a GPU's memory cannot be filled to the byte");
        return;
    }
    let judged_on = |split: &str, hidden: &str| {
        let overrides = [format!("run.hidden={hidden}"), format!("evaluation.split={split}")];
        let overrides = [&overrides[..], &["training.batch=12".to_owned()]].concat();
        let settings = resolve(Base::File(&folder.path().join("tiny.toml")), &overrides);
        Trainer::new(&settings.expect("settings"), 4, &machine)
    };
    let trainer = |hidden: &str| judged_on("", hidden);
    let memory = |trainer: &Trainer| trainer.session().memory();
    let [kept, again] = ["keep", "recompute"].map(|hidden| {
        let trainer = trainer(hidden).unwrap_or_else(|e| panic!("{hidden}: {e}"));
        assert_eq!(trainer.note(), None, "{hidden}");
        memory(&trainer)
    });
    assert!(again < kept, "{again} bytes, {kept} with what is hidden");
    let with_room_for = |bytes: usize| {
        let (free, _) = device.memory().expect("figures");
        device.allocate(free - bytes).expect("memory")
    };
    let room = with_room_for((again + kept) / 2);
    assert_eq!(trainer("keep").err().map(|e| e.kind()), Some(ErrorKind::Memory));
    let smaller = trainer("auto").expect("it fits when it is made again");
    assert!(smaller.note().is_some_and(|note| note.contains("MLPs")), "{:?}", smaller.note());
    assert_eq!(memory(&smaller), again);
    drop((room, smaller));
    let room = with_room_for(kept + (64 << 10));
    drop(trainer("keep").expect("it fits"));
    let error = judged_on("val", "keep").err().expect("no room to evaluate").to_string();
    assert!(error.contains("room for evaluations"), "{error}");
    drop(room);
    let _room = with_room_for(again / 2);
    let error = trainer("auto").err().expect("too little memory").to_string();
    assert!(error.contains("MiB free"), "{error}");
}

#[test]
fn a_run_that_was_stopped_has_the_bits_of_one_that_was_not() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::tiny::prepare(folder.path());
    let device = machine("bf16");
    let whole = weights(folder.path(), "whole", 4, &device);
    weights(folder.path(), "parts", 2, &device);
    let parts = weights(folder.path(), "parts", 4, &device);
    for name in whole.names() {
        let [a, b] = [&whole, &parts].map(|file| file.real(&name).expect("numbers"));
        assert!(a == b, "{name} has other numbers");
    }
}
