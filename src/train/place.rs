//! The folder of a run: who may write to it, and which settings it was begun with.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::layers::{differences, read};
use super::settings::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::file::write_whole;

pub const SETTINGS: &str = "config.toml";
pub const METRICS: &str = "metrics.jsonl";
const LOCK: &str = ".lock";

/// A run's folder, which no other program writes to while this lives.
pub struct Place {
    pub path: PathBuf,
    _lock: File,
}

/// Refuses a folder in which a run stands that is not to go on, or was begun with other settings.
/// Writes nothing.
pub fn check(path: &Path, settings: &Settings, resume: bool) -> Result<()> {
    let begun = path.join(SETTINGS);
    match (begun.is_file(), resume) {
        (true, false) => Err(Error::usage(format!(
            "{}: a run stands there already; add --resume to go on with it, or choose another --out",
            path.display()
        ))),
        (true, true) => match differences(settings, &read(&begun)?).first() {
            None => Ok(()),
            Some((key, here, there)) => Err(Error::usage(format!(
                "{}: this run was begun with {key} = {there} and cannot go on with {here}; leave \
                 it as it was, or choose another --out",
                begun.display()
            ))),
        },
        (false, _) if path.exists() && !path.is_dir() => {
            Err(Error::usage(format!("{}: is not a folder; choose another --out", path.display())))
        }
        (false, _) => Ok(()),
    }
}

/// Makes the folder, takes it for this program and writes the settings down.
pub fn take(path: &Path, settings: &Settings) -> Result<Place> {
    fs::create_dir_all(path).map_err(|e| Error::io(path, "making the folder", e))?;
    let lock_path = path.join(LOCK);
    let lock = File::create(&lock_path).map_err(|e| Error::io(&lock_path, "making", e))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let message = "another program trains in this folder now; wait for it or stop it";
            return Err(Error::usage(format!("{}: {message}", path.display())));
        }
        // A file system without locks: nothing is lost but this protection.
        Err(TryLockError::Error(_)) => {}
    }
    let text = toml::to_string(settings)
        .map_err(|e| Error::new(ErrorKind::Usage, format!("writing the settings: {e}")))?;
    write_whole(&path.join(SETTINGS), |file| file.write_all(text.as_bytes()))?;
    Ok(Place { path: path.to_owned(), _lock: lock })
}
