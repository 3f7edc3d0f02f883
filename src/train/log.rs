//! `metrics.jsonl`: one JSON object a line, of logged updates and of evaluations.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::metrics::Scores;
use super::trainer::Seen;
use crate::error::{Error, Result};

/// The open log of a run.
pub struct Log {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Log {
    /// Opens a run's log and cuts off what stands behind `len` bytes: lines of steps that were lost
    /// and will be done again. The note says if the file is shorter than that.
    pub fn open(path: &Path, len: u64) -> Result<(Self, Option<String>)> {
        let failed = |e| Error::io(path, "opening", e);
        let options = OpenOptions::new().create(true).truncate(false).write(true).clone();
        let mut file = options.open(path).map_err(failed)?;
        let found = file.metadata().map_err(failed)?.len();
        let note = (found < len).then(|| {
            let path = path.display();
            format!("{path}: has {found} bytes where the checkpoint knows of {len}; lines are lost")
        });
        let len = len.min(found);
        file.set_len(len).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok((Self { path: path.to_owned(), file, len }, note))
    }

    /// Writes one line.
    pub fn write(&mut self, line: &Value) -> Result<()> {
        let text = format!("{line}\n");
        self.file.write_all(text.as_bytes()).map_err(|e| Error::io(&self.path, "writing", e))?;
        self.len += text.len() as u64;
        Ok(())
    }

    /// Flushes the lines to the disk; their length together, in bytes.
    pub fn flushed(&mut self) -> Result<u64> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, "flushing", e))?;
        Ok(self.len)
    }
}

/// The line of update `step` (from 1).
pub fn update_line(step: u64, epoch: u64, seen: &Seen, images_per_second: f64) -> Value {
    json!({
        "step": step,
        "epoch": epoch,
        "loss": seen.loss,
        "loss_seg": seen.segmentation,
        "loss_re": seen.reconstruction,
        "rms_f_re": seen.features.map(|[queries, _]| queries),
        "rms_f_pt": seen.features.map(|[_, words]| words),
        "lr": seen.learning_rate,
        "gradient_norm": seen.gradient_norm,
        "images_per_s": (images_per_second * 100.0).round() / 100.0,
    })
}

/// The line of an evaluation after update `step`.
pub fn evaluation_line(step: u64, epoch: u64, split: &str, scores: &Scores, best: bool) -> Value {
    let mut line = json!({
        "step": step,
        "epoch": epoch,
        "split": split,
        "samples": scores.samples,
        "best": best,
    });
    for (name, value) in scores.percent() {
        line[name] = json!((value * 100.0).round() / 100.0);
    }
    line
}
