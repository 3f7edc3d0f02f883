//! The demonstration: draws a data set, trains a small model on it, judges it, shows its masks.

use std::path::{Path, PathBuf};

use super::judge::{How, Judge, Which};
use super::layers::{Base, resolve};
use super::metrics::Protocol;
use super::report::Report;
use super::run::{Options, train};
use super::signals::Stop;
use crate::data::drawn;
use crate::error::Result;
use crate::exec::Machine;

/// How many pictures are left to look at.
const PICTURES: usize = 24;

/// What a demonstration leaves.
pub struct Shown {
    pub report: Report,
    /// A model folder.
    pub model: PathBuf,
    /// Pictures with masks laid over them.
    pub pictures: PathBuf,
}

/// Works in `out`: `data/` (made unless it stands there), `run/` (taken up again where it was
/// stopped) and `pictures/`. `say` hears what is going on.
pub fn demo(
    out: &Path,
    overrides: &[String],
    scenes: &drawn::Options,
    machine: &Machine,
    stop: &Stop,
    say: impl Fn(&str),
) -> Result<Shown> {
    let (root, run, pictures) = (out.join("data"), out.join("run"), out.join("pictures"));
    let mut overrides = overrides.to_vec();
    overrides.insert(0, format!("data.root={}", toml::Value::from(root.display().to_string())));
    let settings = resolve(Base::Preset("demo"), &overrides)?;
    let made = drawn::write(&root, scenes)?;
    let doing = if made.made { "drew" } else { "found" };
    let (count, sentences) = (made.pictures, made.sentences);
    say(&format!("{doing} {count} pictures with {sentences} sentences in {}", root.display()));
    let machine = machine.clone();
    let options = Options { out: run.clone(), resume: true, stop_at: None, machine };
    train(&settings, &options, stop)?;
    let which = Which {
        root: settings.data.root.as_ref(),
        dataset: &settings.data.dataset,
        split_by: &settings.data.split_by,
        split: "val",
        overlap: settings.data.overlap.into(),
    };
    let mut judge = Judge::open(&run, which, settings.evaluation.batch, &options.machine)?;
    let threads = settings.run.loader_threads;
    let how = How { protocol: Protocol::Lavt, threads, by_kind: true };
    let report = judge.report(how, stop)?;
    judge.overlays(PICTURES, &pictures)?;
    Ok(Shown { report, model: run, pictures })
}
