//! Checkpoints of a run: each a folder that is whole or not there.
//!
//! ```text
//! OUT/checkpoints/step-00000500/   model.safetensors config.json vocab.txt    a model folder
//!                                  optimiser.safetensors state.json           to go on from
//! OUT/checkpoints/last, best       links to two of these
//! OUT/model.safetensors ...        the best model (the last one without evaluations), by hard link
//! ```
//!
//! A checkpoint is written under a name with a leading dot, flushed, then renamed: the rename is
//! the moment from which it counts. Everything else (links, removal of old ones) follows from the
//! newest checkpoint and is made good by the next one if it was cut off.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::moments::{read_moments, write_moments, write_parameters};
use super::settle::{remove, settle};
use super::state::State;
use crate::data::wordpiece::Tokenizer;
use crate::error::{Error, Result};
use crate::exec::Session;
use crate::file::{sync_folder, write_whole};
use crate::model::Config;
use crate::model::folder::{CONFIG, ModelFolder, WEIGHTS};

pub const MOMENTS: &str = "optimiser.safetensors";
pub const STATE: &str = "state.json";
const FOLDER: &str = "checkpoints";

/// The checkpoints of the run in one folder.
pub struct Checkpoints {
    out: PathBuf,
    folder: PathBuf,
    config: Config,
    keep: usize,
}

impl Checkpoints {
    /// Of the run in `out`, whose model has `config`; `keep` to resume from are kept.
    pub fn new(out: &Path, config: &Config, keep: usize) -> Result<Self> {
        let folder = out.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, "making the folder", e))?;
        Ok(Self { out: out.to_owned(), folder, config: config.clone(), keep })
    }

    /// Whether the run in `out` may have checkpoints.
    pub fn stand_in(out: &Path) -> bool {
        out.join(FOLDER).is_dir()
    }

    /// Writes a checkpoint, then brings links and older checkpoints into line.
    ///
    /// One of the same step holds the same weights, so only its state is written anew.
    pub fn save(&self, session: &dyn Session, tokenizer: &Tokenizer, state: &State) -> Result<()> {
        let place = self.folder.join(name(state.step));
        if is_resumable(&place) {
            state.write(&place.join(STATE))?;
        } else {
            let part = self.folder.join(format!(".{}.part", name(state.step)));
            remove(&part)?;
            let written = self.write(&part, session, tokenizer, state).and_then(|()| {
                remove(&place)?;
                fs::rename(&part, &place).map_err(|e| Error::io(&place, "moving into place", e))
            });
            if let Err(error) = written {
                // What failed is the news; a leftover is removed by the next checkpoint.
                let _ = remove(&part);
                return Err(error);
            }
        }
        sync_folder(&self.folder)?;
        settle(&self.out, &self.folder, state, self.keep)
    }

    fn write(
        &self,
        part: &Path,
        session: &dyn Session,
        tokenizer: &Tokenizer,
        state: &State,
    ) -> Result<()> {
        fs::create_dir(part).map_err(|e| Error::io(part, "making the folder", e))?;
        write_parameters(&part.join(WEIGHTS), session)?;
        write_moments(&part.join(MOMENTS), session)?;
        let config = self.config.to_json();
        write_whole(&part.join(CONFIG), |file| file.write_all(config.as_bytes()))?;
        let vocabulary = tokenizer.save(part)?;
        let flushed = fs::File::open(&vocabulary).and_then(|file| file.sync_all());
        flushed.map_err(|e| Error::io(&vocabulary, "flushing", e))?;
        state.write(&part.join(STATE))?;
        sync_folder(part)
    }

    /// Loads the newest checkpoint that is sound. One that is not is put aside under the ending
    /// `.damaged`, and the one before it is taken; a note says so.
    ///
    /// Returns no state if there is no checkpoint at all.
    ///
    /// # Errors
    /// There are checkpoints, but none is sound: the newest one's error.
    pub fn load(&self, session: &mut dyn Session) -> Result<(Option<State>, Vec<String>)> {
        let (mut notes, mut first) = (Vec::new(), None);
        for step in steps(&self.folder)?.into_iter().rev() {
            let place = self.folder.join(name(step));
            match self.load_one(&place, step, session) {
                Ok(state) => {
                    self.put_aside(&mut notes)?;
                    settle(&self.out, &self.folder, &state, self.keep)?;
                    return Ok((Some(state), notes));
                }
                Err(error) => {
                    notes.push(format!("{error}; going back to the checkpoint before it"));
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            None => Ok((None, notes)),
            Some(error) => Err(error.at("no checkpoint of this run is sound; of the newest")),
        }
    }

    fn load_one(&self, place: &Path, step: u64, session: &mut dyn Session) -> Result<State> {
        let state_path = place.join(STATE);
        let state = State::read(&state_path)?;
        if state.step != step {
            let message = format!("is of step {}, in a folder for step {step}", state.step);
            return Err(Error::data(state_path, message));
        }
        let model = ModelFolder::open(place)?;
        if model.config != self.config {
            let message = "is not the [model] of this run's config.toml";
            return Err(Error::data(place.join(CONFIG), message));
        }
        model.load(session)?;
        read_moments(&place.join(MOMENTS), session)?;
        Ok(state)
    }

    /// Puts the newest checkpoints, as many as there are notes, out of the way.
    fn put_aside(&self, notes: &mut [String]) -> Result<()> {
        for (step, note) in steps(&self.folder)?.into_iter().rev().zip(notes) {
            let place = self.folder.join(name(step));
            let aside = self.folder.join(format!("{}.damaged", name(step)));
            remove(&aside)?;
            fs::rename(&place, &aside).map_err(|e| Error::io(&place, "putting aside", e))?;
            note.push_str(&format!(" (it is kept as {})", aside.display()));
        }
        Ok(())
    }
}

/// The folder of a step.
pub(super) fn name(step: u64) -> String {
    format!("step-{step:08}")
}

/// Whether a folder has what a run goes on from, sound or not.
fn is_resumable(place: &Path) -> bool {
    [WEIGHTS, MOMENTS, STATE].iter().all(|file| place.join(file).is_file())
}

/// The steps of the checkpoints with moments, in order.
pub(super) fn steps(folder: &Path) -> Result<Vec<u64>> {
    let with_moments = |step: &u64| folder.join(name(*step)).join(MOMENTS).is_file();
    Ok(all_steps(folder)?.into_iter().filter(with_moments).collect())
}

/// The steps of all checkpoints, in order.
pub(super) fn all_steps(folder: &Path) -> Result<Vec<u64>> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, "listing", e))?;
    let step = |entry: fs::DirEntry| {
        let file_name = entry.file_name();
        let digits = file_name.to_str()?.strip_prefix("step-")?;
        digits.parse().ok().filter(|&step| name(step)[5..] == *digits)
    };
    let mut steps: Vec<u64> = entries.filter_map(|entry| step(entry.ok()?)).collect();
    steps.sort_unstable();
    Ok(steps)
}
