//! Killed at any moment, a run leaves only whole checkpoints and goes on to the same bits.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crformer::model::folder::ModelFolder;
use crformer::weights::TensorFile;

use crate::train::{Tiny, assert_no_leftovers, learnt, metrics, succeeds};

/// Every folder named as a checkpoint is one, and what stands in the run's folder is a model.
fn assert_whole(out: &Path) {
    let Ok(entries) = std::fs::read_dir(out.join("checkpoints")) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.starts_with("step-") {
            continue;
        }
        ModelFolder::open(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        let moments = path.join("optimiser.safetensors");
        if moments.exists() {
            TensorFile::open(&moments).unwrap_or_else(|e| panic!("{name}: {e}"));
            let state = std::fs::read(path.join("state.json")).expect("a state");
            serde_json::from_slice::<serde_json::Value>(&state).expect("JSON");
        }
    }
    if out.join("model.safetensors").exists() {
        TensorFile::open(&out.join("model.safetensors")).expect("a model");
    }
}

/// Where the last checkpoint leads, if there is one.
fn last(out: &Path) -> Option<PathBuf> {
    std::fs::read_link(out.join("checkpoints/last")).ok()
}

/// Waits until the run has a last checkpoint other than `before`, or is at its end.
fn wait_for_another(out: &Path, before: &Option<PathBuf>, child: &mut Child) {
    let begun = Instant::now();
    while last(out) == *before && child.try_wait().expect("a child").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(120), "no checkpoint was written");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn killed_at_random_moments() {
    let trials = match std::env::var_os("CRFORMER_SLOW_TESTS") {
        Some(_) => 400,
        None => 30,
    };
    let tiny = Tiny::new();
    // A checkpoint after every step, an evaluation after every other: most of the time is writing.
    let often = ["-o", "run.save_every=1", "-o", "evaluation.every=2", "-o", "training.steps=40"];
    let whole = tiny.trained("whole", &often);
    let out = tiny.path("killed");
    let mut random = 12345u64;
    let (mut ended, mut further) = (0, 0);
    for trial in 0..trials {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let before = last(&out);
        let mut command = tiny.train(&out, &[&often[..], &["--resume"]].concat());
        let child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut child = child.expect("the program starts");
        // Every fourth is killed while it begins, the others while they write checkpoints.
        if trial % 4 != 0 {
            wait_for_another(&out, &before, &mut child);
        }
        sleep(Duration::from_micros((random >> 33) % 150_000));
        child.kill().expect("killed");
        let status = child.wait().expect("it ends");
        assert!(status.code().is_none_or(|code| code == 0), "trial {trial}: {status}");
        assert_whole(&out);
        further += usize::from(last(&out) > before);
        if status.success() {
            assert!(learnt(&whole) == learnt(&out), "trial {trial}: other weights or moments");
            std::fs::remove_dir_all(&out).expect("removed");
            ended += 1;
        }
    }
    println!("{trials} trials, {further} came further, {ended} to the end");
    assert!(further >= trials / 2, "most were killed before they did anything");
    succeeds(&mut tiny.train(&out, &[&often[..], &["--resume"]].concat()));
    assert!(learnt(&whole) == learnt(&out), "other weights or moments");
    assert_eq!(metrics(&whole), metrics(&out));
    assert_no_leftovers(&out);
}
