//! Logits, both losses and every parameter's gradient agree with an independent implementation.

use std::path::PathBuf;

use crformer::exec::Machine;
use crformer::model::Config;
use crformer::train::probe::probe;
use crformer::weights::TensorFile;

use super::support::in_repository;

fn golden(folder: &str) -> PathBuf {
    in_repository("tests/fixtures/golden").join(folder)
}

/// What a run may differ by: relative errors of logits and losses, and of gradients.
struct Accepted {
    logits: f64,
    gradients: f64,
}

const F64: Accepted = Accepted { logits: 1e-9, gradients: 1e-9 };
const F32: Accepted = Accepted { logits: 1e-4, gradients: 1e-3 };

/// Runs the probe on the folder's model with a changed configuration and compares everything.
fn compare(
    machine: &Machine,
    folder: &str,
    expected: &str,
    change: impl Fn(&mut Config),
    accepted: &Accepted,
) {
    let from = golden(folder);
    let work = tempfile::tempdir().expect("a folder");
    let mut config = Config::read(&from.join("config.json")).expect("the configuration");
    change(&mut config);
    std::fs::write(work.path().join("config.json"), config.to_json()).expect("written");
    std::fs::copy(from.join("model.safetensors"), work.path().join("model.safetensors"))
        .expect("copied");
    let out = work.path().join("out.safetensors");
    let inputs = from.join("inputs.safetensors");
    probe(work.path(), &inputs, &out, machine).unwrap_or_else(|e| panic!("{e}"));
    let got = TensorFile::open(&out).expect("what the probe wrote");
    let want = TensorFile::open(&from.join(expected)).expect("the expected file");
    check(&got, &want, accepted);
}

fn check(got: &TensorFile, want: &TensorFile, accepted: &Accepted) {
    let names = want.names();
    let largest = |name: &str| {
        let numbers = want.real(name).expect("numbers");
        numbers.iter().fold(0.0f64, |largest, x| largest.max(x.abs()))
    };
    let gradients = || names.iter().filter(|name| name.starts_with("grad."));
    let floor = 1e-3 * gradients().map(|name| largest(name)).fold(0.0, f64::max);
    assert!(floor > 0.0 && gradients().count() > 200, "the expected gradients are there");
    let mut worst = [(0.0f64, ""), (0.0f64, "")];
    for name in &names {
        assert_eq!(got.extents(name), want.extents(name), "extents of {name}");
        let gradient = name.starts_with("grad.");
        let scale = largest(name).max(if gradient { floor } else { 1e-30 });
        let (got, want) = (got.real(name).expect("numbers"), want.real(name).expect("numbers"));
        let error = got.iter().zip(&want).map(|(g, w)| {
            let error = (g - w).abs() / scale;
            if error.is_nan() { f64::INFINITY } else { error }
        });
        let error = error.fold(0.0, f64::max);
        let limit = if gradient { accepted.gradients } else { accepted.logits };
        assert!(error <= limit, "{name}: relative error {error:.2e} > {limit:.0e}");
        let worst = &mut worst[usize::from(gradient)];
        *worst = if error > worst.0 { (error, name) } else { *worst };
    }
    let [(logits, _), (gradient, name)] = worst;
    println!("logits and losses within {logits:.1e}, gradients within {gradient:.1e} ({name})");
}

#[test]
fn small() {
    compare(&Machine::CpuInDouble, "small", "expected.safetensors", |_| {}, &F64);
    compare(&Machine::Cpu, "small", "expected.safetensors", |_| {}, &F32);
}

#[test]
fn standard_decoder() {
    let change = |config: &mut Config| config.calibration = false;
    compare(&Machine::CpuInDouble, "small", "expected-standard-decoder.safetensors", change, &F64);
    compare(&Machine::Cpu, "small", "expected-standard-decoder.safetensors", change, &F32);
}

#[test]
fn without_reconstruction() {
    let change = |config: &mut Config| config.reconstruction = false;
    compare(&Machine::CpuInDouble, "small", "expected-no-reconstruction.safetensors", change, &F64);
    compare(&Machine::Cpu, "small", "expected-no-reconstruction.safetensors", change, &F32);
}

#[test]
fn padded() {
    compare(&Machine::CpuInDouble, "padded", "expected.safetensors", |_| {}, &F64);
    compare(&Machine::Cpu, "padded", "expected.safetensors", |_| {}, &F32);
}

/// The comparison refuses gradients that are off by one percent.
#[test]
#[should_panic(expected = "relative error")]
fn one_percent_is_refused() {
    let change = |config: &mut Config| config.w_seg = 1.01;
    compare(&Machine::CpuInDouble, "small", "expected.safetensors", change, &F64);
}
