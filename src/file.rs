//! Files that are whole or not there: written beside their place, then renamed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `path` by `body`, through a file beside it that is flushed to the disk and then renamed.
/// On any failure, a full disk too, what was at `path` before stays, and nothing else is left.
pub fn write_whole(
    path: &Path,
    body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    let beside = beside(path);
    let written = write_synced(&beside, body).and_then(|()| fs::rename(&beside, path));
    written.map_err(|error| {
        // The failure itself is what to report; a file that was never made cannot be removed.
        let _ = fs::remove_file(&beside);
        Error::io(path, "writing", error)
    })
}

fn write_synced(
    path: &Path,
    body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    body(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()
}

/// A name in the same folder that no other process uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.part", std::process::id()));
    path.with_file_name(name)
}

/// Flushes a folder's own entries to the disk, so that a rename in it outlives a power cut.
pub fn sync_folder(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io(path, "flushing", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_what_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("weights");
        write_whole(&path, |file| file.write_all(b"old")).expect("first write");
        let failed = write_whole(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("no space left"))
        });
        let error = failed.expect_err("the body failed");
        assert!(error.to_string().contains("weights: writing failed: no space left"), "{error}");
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn a_full_disk_is_an_error() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: this system has no /dev/full");
            return;
        }
        let error = write_synced(full, |file| file.write_all(&[0; 100])).expect_err("no space");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
