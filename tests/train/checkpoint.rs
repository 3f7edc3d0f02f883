//! Damaged checkpoints of a tiny run that has two of them, of steps 1 and 2.

use std::fs;
use std::path::{Path, PathBuf};

use crformer::error::{Error, ErrorKind};
use crformer::exec::Machine;
use crformer::train::layers::{Base, resolve};
use crformer::train::run::{Finished, Options, train};
use crformer::train::signals::Stop;

struct Run {
    folder: tempfile::TempDir,
}

impl Run {
    fn new() -> Self {
        let run = Self { folder: tempfile::tempdir().expect("a folder") };
        crate::tiny::prepare(run.folder.path());
        run.train(2).expect("trained");
        run
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn checkpoint(&self, step: u64) -> PathBuf {
        self.out().join(format!("checkpoints/step-{step:08}"))
    }

    /// Trains, or goes on training, to `step`.
    fn train(&self, step: u64) -> Result<Finished, Error> {
        let overrides = ["run.save_every=1", "evaluation.split="].map(String::from);
        let path = self.folder.path().join("tiny.toml");
        let settings = resolve(Base::File(&path), &overrides).expect("settings");
        let options =
            Options { out: self.out(), resume: true, stop_at: Some(step), machine: Machine::Cpu };
        train(&settings, &options, &Stop::default())
    }

    fn weights(&self) -> Vec<u8> {
        fs::read(self.out().join("checkpoints/last/model.safetensors")).expect("weights")
    }
}

/// Header and numbers of a safetensors file.
fn split(bytes: &[u8]) -> (String, Vec<u8>) {
    let len = u64::from_le_bytes(bytes[..8].try_into().expect("a length")) as usize;
    let header = String::from_utf8(bytes[8..8 + len].to_vec()).expect("UTF-8");
    (header, bytes[8 + len..].to_vec())
}

fn joined(header: &str, numbers: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), numbers].concat()
}

fn change(path: &Path, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let bytes = fs::read(path).expect("a file");
    // The files in the run's folder are the same bytes under a second name: a new file, as every
    // honest writer makes it, leaves those alone.
    fs::remove_file(path).expect("removed");
    fs::write(path, change(bytes)).expect("written");
}

fn change_header(path: &Path, from: &str, to: &str) {
    change(path, |bytes| {
        let (header, numbers) = split(&bytes);
        assert!(header.contains(from), "no {from} in {header}");
        joined(&header.replacen(from, to, 1), &numbers)
    });
}

/// A way to damage a checkpoint, and what the error must name.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const DAMAGES: &[Damage] = &[
    (
        "weights cut off",
        |folder| change(&folder.join("model.safetensors"), |b| b[..b.len() - 1].to_vec()),
        &["model.safetensors", "not a whole safetensors file"],
    ),
    (
        "weights empty",
        |folder| change(&folder.join("model.safetensors"), |_| Vec::new()),
        &["model.safetensors", "not a whole safetensors file"],
    ),
    (
        "wrong shape",
        |folder| {
            change_header(&folder.join("model.safetensors"), "\"shape\":[2]", "\"shape\":[1,2]")
        },
        &["model.safetensors", "tensor query.conv.bias is [1, 2], expected [2]"],
    ),
    (
        "missing tensor",
        |folder| change_header(&folder.join("model.safetensors"), "\"head.bias\"", "\"head.bia_\""),
        &["model.safetensors", "tensor head.bias is missing"],
    ),
    (
        "doubled tensor",
        |folder| {
            change_header(&folder.join("model.safetensors"), "\"head.bias\"", "\"head.weight\"")
        },
        &["model.safetensors", "tensor head.weight is there twice"],
    ),
    (
        "moments cut off",
        |folder| change(&folder.join("optimiser.safetensors"), |b| b[..b.len() / 2].to_vec()),
        &["optimiser.safetensors", "not a whole safetensors file"],
    ),
    (
        "missing moment",
        |folder| {
            change_header(
                &folder.join("optimiser.safetensors"),
                "\"first.head.bias\"",
                "\"head.bias\"",
            )
        },
        &["optimiser.safetensors", "tensor head.bias belongs to no parameter that this run trains"],
    ),
    (
        "unknown key",
        |folder| {
            change(&folder.join("config.json"), |b| {
                let text = String::from_utf8(b).expect("UTF-8");
                text.replacen('{', "{\"colour\": 1,", 1).into_bytes()
            });
        },
        &["config.json", "unknown field `colour`"],
    ),
    (
        "other model",
        |folder| {
            change(&folder.join("config.json"), |b| {
                let text = String::from_utf8(b).expect("UTF-8");
                text.replace("\"w_re\": 0.1", "\"w_re\": 0.2").into_bytes()
            });
        },
        &["config.json", "is not the [model] of this run's config.toml"],
    ),
    (
        "state of nothing",
        |folder| change(&folder.join("state.json"), |_| b"{\"step\": 2".to_vec()),
        &["state.json", "line 1"],
    ),
    (
        "state of another step",
        |folder| {
            change(&folder.join("state.json"), |b| {
                let text = String::from_utf8(b).expect("UTF-8");
                text.replacen("\"step\": ", "\"step\": 7", 1).into_bytes()
            });
        },
        &["state.json", "in a folder for step"],
    ),
];

/// The older checkpoint is taken, the damaged one kept aside, and the bits come out the same.
#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let whole = Run::new();
    whole.train(4).expect("trained");
    for (what, damage, _) in DAMAGES {
        let run = Run::new();
        damage(&run.checkpoint(2));
        run.train(4).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(run.weights() == whole.weights(), "{what}: other weights");
        let aside = run.out().join("checkpoints/step-00000002.damaged");
        assert!(aside.is_dir(), "{what}: the damaged checkpoint is gone");
    }
}

/// Where no checkpoint is sound the run does not begin anew as if nothing had been.
#[test]
fn without_a_sound_checkpoint_the_run_stops() {
    for (what, damage, expected) in DAMAGES {
        let run = Run::new();
        [1, 2].into_iter().for_each(|step| damage(&run.checkpoint(step)));
        let listing = || {
            let entries = fs::read_dir(run.out().join("checkpoints")).expect("a folder");
            let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name()).collect();
            names.sort();
            names
        };
        let before = listing();
        let error = run.train(4).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Data, "{what}: {error}");
        for part in [&["no checkpoint of this run is sound", "step-00000002"], *expected].concat() {
            assert!(error.to_string().contains(part), "{what}: {part}: {error}");
        }
        assert_eq!(before, listing(), "{what}: something changed");
    }
}
