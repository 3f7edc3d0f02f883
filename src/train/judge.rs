//! Judging a model folder on a split, and showing its masks.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::evaluate::Evaluator;
use super::metrics::Protocol;
use super::phrases::{Split, SplitPlace};
use super::progress::EvaluationProgress;
use super::report::Report;
use super::signals::Stop;
use super::source::EvaluationSource;
use crate::data::image::{overlay, read as read_picture, write_png};
use crate::data::loader::Source;
use crate::data::mask::Overlap;
use crate::data::wordpiece::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::Machine;
use crate::model::folder::ModelFolder;

/// Which split of which data set.
#[derive(Clone, Copy, Debug)]
pub struct Which<'a> {
    pub root: &'a Path,
    pub dataset: &'a str,
    pub split_by: &'a str,
    pub split: &'a str,
    pub overlap: Overlap,
}

/// How a model is run over a split.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub protocol: Protocol,
    /// Threads that decode pictures.
    pub threads: usize,
    /// Whether samples are also grouped by what their sentences speak of.
    pub by_kind: bool,
}

/// A model and a split that were brought together.
pub struct Judge {
    evaluator: Evaluator,
    source: Arc<EvaluationSource>,
    /// What the user should be told.
    pub notes: Vec<String>,
}

impl Judge {
    /// Opens the model (with its tokenizer) and the split.
    pub fn open(model: &Path, which: Which, batch: usize, machine: &Machine) -> Result<Self> {
        let folder = ModelFolder::open(model)?;
        let tokenizer = Tokenizer::load(model)?;
        let (found, room) = (tokenizer.vocab_size(), folder.config.vocab_size);
        if found > room {
            let message = format!("the tokenizer has {found} tokens, config.json room for {room}");
            return Err(Error::data(model, message));
        }
        let place = SplitPlace {
            root: which.root.to_owned(),
            dataset: which.dataset.to_owned(),
            split_by: which.split_by.to_owned(),
            split: which.split.to_owned(),
            overlap: which.overlap,
            image_size: folder.config.image_size,
            max_tokens: folder.config.max_tokens,
        };
        let split = Split::open(place, &tokenizer)?;
        let mut notes = split.notes.clone();
        let evaluator = Evaluator::new(&folder.config, batch, machine, |session| {
            notes.extend(folder.load(session)?);
            Ok(())
        })?;
        Ok(Self { evaluator, source: Arc::new(EvaluationSource::new(Arc::new(split))), notes })
    }

    /// The figures of every sentence of the split.
    ///
    /// # Errors
    /// Of kind `Interrupted` or `Terminated` if `stop` asked for an end.
    pub fn report(&mut self, how: How, stop: &Stop) -> Result<Report> {
        let mut progress = EvaluationProgress::new(self.source.len());
        let done = |n| progress.done(n);
        let judged = self.evaluator.run(&self.source, how.protocol, how.threads, stop, done)?;
        progress.finish();
        let Some(judged) = judged else {
            let kind = stop.requested().unwrap_or(ErrorKind::Interrupted);
            return Err(Error::new(kind, "stopped before the end; nothing was reported"));
        };
        let place = self.source.split().place();
        let title = format!("{} {}", place.dataset, place.split);
        let kind = |i| self.source.kind(i).filter(|_| how.by_kind);
        Ok(Report::new(&title, &judged, (0..judged.len()).map(kind)))
    }

    /// Writes `count` pictures with the predicted mask laid over them, evenly spread over the
    /// split and named by number and sentence.
    pub fn overlays(&mut self, count: usize, out: &Path) -> Result<()> {
        fs::create_dir_all(out).map_err(|e| Error::io(out, "making the folder", e))?;
        let total = self.source.len();
        for i in 0..count.min(total) {
            let index = i * total / count.min(total);
            let (at, phrase) = self.source.place(index);
            let referred = &self.source.split().referred[at];
            let (path, raw) = (referred.reference.picture()?, &referred.phrases[phrase].raw);
            let (picture, file) = (read_picture(path)?, file_name(i, raw));
            let size = [picture.width, picture.height];
            let mask = self.evaluator.mask(&self.source, index, size)?;
            write_png(&out.join(file), &overlay(&picture, &mask, [255, 0, 255], 0.35)?)?;
        }
        Ok(())
    }
}

/// `07-the-red-circle.png`: letters and digits of a sentence, at most 60.
fn file_name(number: usize, sentence: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = sentence.chars().take(60).map(plain).collect();
    format!("{number:02}-{}.png", name.trim_matches('-'))
}
