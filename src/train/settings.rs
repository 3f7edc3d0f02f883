//! Every setting of a training run: what `config.toml` holds.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::metrics::{Protocol, Select};
use crate::data::mask::Overlap;
use crate::error::{Error, Result};
use crate::model::Config;
use crate::optim::adamw::Decay;

/// A run, resolved: every key has a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub data: Data,
    pub initial: Initial,
    pub training: Training,
    pub optimiser: Optimiser,
    pub evaluation: Evaluation,
    pub run: Run,
    pub model: Config,
}

/// Which data set is learnt from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder with `<dataset>/` and `images/`.
    pub root: String,
    pub dataset: String,
    /// Who made the splits: `refs(<split_by>).p`.
    pub split_by: String,
    /// The split that is trained on.
    pub split: String,
    pub overlap: OverlapRule,
    /// BERT's `vocab.txt` or `tokenizer.json`; empty: `<root>/<dataset>/vocab.txt`.
    pub vocabulary: String,
}

/// What a pixel is that several polygons of one object cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverlapRule {
    /// The object's.
    Union,
    /// Background, as in the lineage's code.
    Lineage,
}

impl From<OverlapRule> for Overlap {
    fn from(rule: OverlapRule) -> Self {
        match rule {
            OverlapRule::Union => Overlap::Union,
            OverlapRule::Lineage => Overlap::Lavt,
        }
    }
}

/// Where the weights begin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initial {
    /// A model folder whose weights are taken; empty: all are drawn anew.
    pub model: String,
    /// A file of Swin's public weights for a new model; empty: drawn anew.
    pub image_encoder: String,
    /// A file of BERT's public weights for a new model; empty: drawn anew.
    pub text_encoder: String,
}

/// How much is learnt, in which portions, from which random numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Training {
    pub seed: u64,
    /// Images in one micro-batch.
    pub batch: usize,
    /// Micro-batches whose gradients are averaged before an update.
    pub accumulation: usize,
    pub epochs: usize,
    /// Updates in all; 0: as many as `epochs` give.
    pub steps: u64,
    /// Updates over which the learning rate rises linearly.
    pub warmup: u64,
    /// Of the polynomial decay.
    pub power: f64,
    /// Largest Euclidean norm of all gradients together; 0: no clipping.
    pub clip: f64,
}

/// How gradients change parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimiser {
    pub kind: OptimiserKind,
    pub learning_rate: f64,
    pub betas: [f64; 2],
    pub eps: f64,
    pub decay: f64,
    /// Patterns of the names of parameters without decay.
    pub no_decay: Vec<String>,
    /// Patterns of the names of parameters that are not trained.
    pub frozen: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    Adam,
    AdamW,
}

impl From<OptimiserKind> for Decay {
    fn from(kind: OptimiserKind) -> Self {
        match kind {
            OptimiserKind::Adam => Decay::ThroughMoments,
            OptimiserKind::AdamW => Decay::Decoupled,
        }
    }
}

/// How the model is judged during the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// Empty: the run is not evaluated, and the last model counts.
    pub split: String,
    pub protocol: Protocol,
    /// The figure by which the best model is chosen.
    pub select: Select,
    /// Updates between evaluations; 0: once an epoch. The end of the run is always evaluated.
    pub every: u64,
    /// Images at a time.
    pub batch: usize,
}

/// What does not change what is learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Updates between lines of the log.
    pub log_every: u64,
    /// Updates between checkpoints; 0: after evaluations only.
    pub save_every: u64,
    /// Checkpoints that can be resumed from, kept besides the best model.
    pub keep: usize,
    /// Threads that decode pictures ahead of time.
    pub loader_threads: usize,
    pub hidden: Hidden,
}

/// What becomes of what is hidden in the MLPs between the forward and the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hidden {
    /// It is kept, unless that does not fit in a device's memory.
    Auto,
    Keep,
    Recompute,
}

/// Keys whose change between stop and resume changes nothing that is learnt.
pub const FREE: [&str; 5] =
    ["data.root", "data.vocabulary", "evaluation.every", "evaluation.batch", "run."];

impl Settings {
    /// Whether the values make sense, each by itself.
    pub fn check(&self) -> Result<()> {
        self.model.check().map_err(|e| e.at("[model]"))?;
        let counts = [
            ("training.batch", self.training.batch),
            ("training.accumulation", self.training.accumulation),
            ("evaluation.batch", self.evaluation.batch),
            ("run.keep", self.run.keep),
            ("run.loader_threads", self.run.loader_threads),
        ];
        for (key, count) in counts {
            require((1..=1 << 20).contains(&count), key, count, "a number from 1 to 1048576")?;
        }
        require(self.run.log_every >= 1, "run.log_every", self.run.log_every, "at least 1")?;
        if self.training.steps == 0 && self.training.epochs == 0 {
            let message = "training.steps and training.epochs are both 0: nothing to be done";
            return Err(Error::usage(message));
        }
        self.check_rates()
    }

    fn check_rates(&self) -> Result<()> {
        let (optimiser, training) = (&self.optimiser, &self.training);
        let numbers = [
            ("training.power", training.power),
            ("training.clip", training.clip),
            ("optimiser.learning_rate", optimiser.learning_rate),
            ("optimiser.decay", optimiser.decay),
        ];
        for (key, x) in numbers {
            require(x.is_finite() && x >= 0.0, key, x, "a number of at least 0")?;
        }
        let eps = optimiser.eps;
        require(eps.is_finite() && eps > 0.0, "optimiser.eps", eps, "a number larger than 0")?;
        for beta in optimiser.betas {
            require((0.0..1.0).contains(&beta), "optimiser.betas", beta, "numbers in 0 .. 1")?;
        }
        Ok(())
    }

    /// The file of the vocabulary.
    pub fn vocabulary(&self) -> PathBuf {
        match self.data.vocabulary.as_str() {
            "" => PathBuf::from(&self.data.root).join(&self.data.dataset).join("vocab.txt"),
            path => PathBuf::from(path),
        }
    }
}

fn require(holds: bool, key: &str, found: impl std::fmt::Display, expected: &str) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::usage(format!("{key} is {found}, expected {expected}"))),
    }
}
