//! What follows from the newest checkpoint: links, the model in the run's folder, removal of what
//! is old. It may be cut off anywhere and is made good the next time.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::checkpoint::{MOMENTS, STATE, all_steps, name, steps};
use super::state::State;
use crate::error::{Error, Result};
use crate::file::{sync_folder, write_whole};

/// Brings the run in `out` into line with `state`, its newest checkpoint.
pub fn settle(out: &Path, folder: &Path, state: &State, keep: usize) -> Result<()> {
    let last = name(state.step);
    link(folder, "last", &last)?;
    let best = state.best.map(|best| name(best.step));
    let best = best.filter(|best| folder.join(best).is_dir());
    if let Some(best) = &best {
        link(folder, "best", best)?;
    }
    let shown = best.as_ref().unwrap_or(&last);
    show(out, &folder.join(shown))?;
    prune(folder, state.step, best.as_deref(), keep)?;
    [out, folder, &folder.join(last)].into_iter().try_for_each(remove_leftovers)
}

/// Makes the link `folder/from` lead to `to`, in one step.
fn link(folder: &Path, from: &str, to: &str) -> Result<()> {
    let place = folder.join(from);
    if fs::read_link(&place).is_ok_and(|found| found == Path::new(to)) {
        return Ok(());
    }
    let beside = folder.join(format!(".{from}.part"));
    remove(&beside)?;
    let linked = symlink(to, &beside).and_then(|()| fs::rename(&beside, &place));
    linked.map_err(|e| Error::io(&place, "linking", e))
}

/// Puts the files of a model into the run's own folder: the same bytes on disk under a second
/// name, or a copy where the file system has no hard links.
fn show(out: &Path, checkpoint: &Path) -> Result<()> {
    let entries = fs::read_dir(checkpoint).map_err(|e| Error::io(checkpoint, "listing", e))?;
    for entry in entries {
        let from = entry.map_err(|e| Error::io(checkpoint, "listing", e))?.path();
        let of_model = |file: &&OsStr| *file != MOMENTS && *file != STATE && !is_hidden(file);
        let Some(file) = from.file_name().filter(of_model) else { continue };
        let place = out.join(file);
        if is_same(&from, &place) {
            continue;
        }
        let beside = out.join(format!(".{}.part", file.display()));
        remove(&beside)?;
        match fs::hard_link(&from, &beside) {
            Ok(()) => fs::rename(&beside, &place)
                .map_err(|e| Error::io(&place, "moving into place", e))?,
            Err(_) => copy(&from, &place)?,
        }
    }
    sync_folder(out)
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = fs::File::open(from).map_err(|e| Error::io(from, "reading", e))?;
    write_whole(to, |file| io::copy(&mut source, file).map(|_| ()))
}

/// Removes what is neither among the `keep` newest to resume from nor the best model; of the best
/// model that is older than these, the moments.
fn prune(folder: &Path, newest: u64, best: Option<&str>, keep: usize) -> Result<()> {
    let resumable: Vec<u64> = steps(folder)?.into_iter().filter(|step| *step <= newest).collect();
    let kept = &resumable[resumable.len().saturating_sub(keep)..];
    for step in all_steps(folder)?.into_iter().filter(|step| !kept.contains(step)) {
        let place = folder.join(name(step));
        match best == Some(name(step).as_str()) {
            true => remove(&place.join(MOMENTS))?,
            false => discard(folder, &place)?,
        }
    }
    Ok(())
}

/// Takes a checkpoint's name away first, so that no half of one is ever found.
fn discard(folder: &Path, place: &Path) -> Result<()> {
    let Some(file) = place.file_name() else { return Ok(()) };
    let old = folder.join(format!(".{}.old", file.display()));
    remove(&old)?;
    fs::rename(place, &old).map_err(|e| Error::io(place, "removing", e))?;
    remove(&old)
}

/// Removes what was being written or removed when a program was killed.
fn remove_leftovers(folder: &Path) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, "listing", e))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let ending = path.extension().and_then(OsStr::to_str);
        if path.file_name().is_some_and(is_hidden) && matches!(ending, Some("part" | "old")) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn is_hidden(file: &OsStr) -> bool {
    file.as_encoded_bytes().starts_with(b".")
}

/// Removes a file, a link or a folder, if it is there.
pub(super) fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(|e| Error::io(path, "removing", e))
}
