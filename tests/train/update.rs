//! One update of a tiny run, parameter by parameter.

use std::path::Path;

use crformer::exec::Machine;
use crformer::train::layers::{Base, resolve};
use crformer::train::run::{Options, train};
use crformer::train::signals::Stop;
use crformer::weights::TensorFile;

/// Trains to `step` with overrides; the weights then.
fn weights(folder: &Path, name: &str, step: u64, overrides: &[&str]) -> TensorFile {
    let settings = folder.join("tiny.toml");
    let overrides: Vec<String> = overrides.iter().map(|o| (*o).to_owned()).collect();
    let settings = resolve(Base::File(&settings), &overrides).expect("settings");
    let out = folder.join(name);
    let options =
        Options { out: out.clone(), resume: false, stop_at: Some(step), machine: Machine::Cpu };
    train(&settings, &options, &Stop::default()).expect("trained");
    TensorFile::open(&out.join("checkpoints/last/model.safetensors")).expect("weights")
}

fn changed(a: &TensorFile, b: &TensorFile) -> Vec<String> {
    assert_eq!(a.names(), b.names());
    let differs = |n: &String| a.real(n).expect("numbers") != b.real(n).expect("numbers");
    a.names().into_iter().filter(differs).collect()
}

#[test]
fn frozen_parameters_stand_still_and_all_others_move() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::tiny::prepare(folder.path());
    let frozen = "optimiser.frozen=['text.embeddings.*', '*.norm2.*']";
    let before = weights(folder.path(), "before", 0, &[]);
    let after = weights(folder.path(), "after", 2, &[frozen]);
    let still = |n: &str| n.starts_with("text.embeddings.") || n.contains(".norm2.");
    let changed = changed(&before, &after);
    assert!(changed.iter().all(|name| !still(name)), "{changed:?}");
    // A single word row or a dropped block may see no gradient; decay moves those all the same,
    // but for norms, position tables and what begins at 0.
    let decays = |n: &String| {
        let values = before.real(n).expect("numbers");
        let decayed = !n.contains("norm") && !n.contains("relative_position_bias");
        decayed && !still(n) && values.iter().any(|x| *x != 0.0)
    };
    for name in before.names().into_iter().filter(decays) {
        assert!(changed.contains(&name), "{name} did not move");
    }
}

/// With a learning rate and no gradient, decay alone acts: `w (1 - lr decay)` for AdamW.
#[test]
fn decay_reaches_what_it_should() {
    let folder = tempfile::tempdir().expect("a folder");
    crate::tiny::prepare(folder.path());
    let rates = ["training.warmup=0", "optimiser.learning_rate=0.5", "optimiser.eps=1e30"];
    let before = weights(folder.path(), "before", 0, &rates);
    let after =
        weights(folder.path(), "after", 1, &[&rates[..], &["optimiser.decay=0.1"]].concat());
    for name in before.names() {
        let kept = name.contains("norm") || name.contains("relative_position_bias");
        let factor = if kept { 1.0 } else { 1.0 - 0.5 * 0.1 };
        let pairs =
            before.real(&name).expect("old").into_iter().zip(after.real(&name).expect("new"));
        for (old, new) in pairs {
            // Half a unit in the last place of f32 each for the factor and the product; beside it
            // the step of size 0.5 |m| / 1e30.
            let rounding = 1.2e-7 * old.abs() + 1e-28;
            assert!((new - factor * old).abs() <= rounding, "{name}: {old} became {new}");
        }
    }
}
