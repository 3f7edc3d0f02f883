//! Whole files: read up to a limit, and written so that they appear complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Reads a file of at most `limit` bytes. A longer one (or an endless device) is an error before
/// more than `limit` bytes are held.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let fail = |e| Error::io(path, "reading", e);
    let file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    let mut bytes = Vec::with_capacity(length.min(limit as u64) as usize);
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() > limit {
        return Err(Error::data(path, format!("longer than the {limit} bytes allowed for it")));
    }
    Ok(bytes)
}

/// Writes `bytes` to a temporary file beside `path` and renames it, so that a program that is
/// killed, or a full disk, leaves the old file or none. It does not wait for the disk: a power cut
/// can still lose it. A link is followed; a device or pipe that stands there is written to directly.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let fail = |e| Error::io(path, "writing", e);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() => {
            let message = format!("{}: is a folder; give a file name", path.display());
            return Err(Error::new(ErrorKind::Usage, message));
        }
        Ok(found) if !found.is_file() => {
            let mut device = OpenOptions::new().write(true).open(&target).map_err(fail)?;
            return device.write_all(bytes).map_err(fail);
        }
        _ => {}
    }
    let temporary = Temporary::beside(&target);
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(&temporary.0).map_err(fail)?;
    file.write_all(bytes).map_err(fail)?;
    drop(file);
    fs::rename(&temporary.0, &target).map_err(fail)
}

/// A file that is gone when this is dropped, unless it was renamed.
struct Temporary(PathBuf);

impl Temporary {
    fn beside(target: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(target.with_file_name(format!(".crformer-{}-{number}.tmp", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // after the rename there is nothing to remove
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a failed write leaves: nothing.
    #[test]
    fn a_temporary_file_goes_with_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let temporary = Temporary::beside(&folder.path().join("out"));
        fs::write(&temporary.0, b"half").unwrap();
        drop(temporary);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_longer_file_and_an_endless_device_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert!(read(&path, 4).unwrap_err().to_string().contains("longer than the 4 bytes"));
        assert!(read(Path::new("/dev/zero"), 1000).is_err());
    }
}
