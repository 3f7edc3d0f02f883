//! Where a run stands: the few numbers beside weights and moments that it needs to go on.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::file::write_whole;

/// The content of a checkpoint's `state.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Updates that are done. Order, sentences, dropout and learning rate follow from it.
    pub step: u64,
    /// The update after which the last evaluation was made.
    pub evaluated: Option<u64>,
    pub best: Option<Best>,
    /// Length of `metrics.jsonl` in bytes: what stands behind it belongs to lost steps.
    pub metrics_len: u64,
    /// Of the sentences that are learnt from, in hexadecimal.
    pub data: String,
}

/// The best evaluation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    pub step: u64,
    /// The selected figure, as a share of 1.
    pub value: f64,
}

impl State {
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, "reading", e))?;
        serde_json::from_str(&text).map_err(|e| Error::data(path, e))
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::data(path, e))?;
        write_whole(path, |file| writeln!(file, "{text}"))
    }

    /// Takes a new evaluation; whether it is the best. Of equals the first stays.
    pub fn judge(&mut self, value: f64) -> bool {
        self.evaluated = Some(self.step);
        let better = self.best.is_none_or(|best| value > best.value);
        if better {
            self.best = Some(Best { step: self.step, value });
        }
        better
    }
}
