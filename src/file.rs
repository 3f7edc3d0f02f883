//! Whole files: read up to a limit, and written so that they appear complete or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use signal_hook::consts::SIGXFSZ;

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

/// Writes `path` by `body`, through a file beside it that is flushed to the disk and then renamed.
/// On any failure, a full disk too, what was at `path` before stays, and nothing else is left.
/// A link is followed; a device or pipe that stands there is written to directly.
pub fn write_whole(
    path: &Path,
    body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<()> {
    put(path, body, File::sync_all)
}

/// [`write_whole`] for what can be made again: it does not wait for the disk (several milliseconds
/// a file), so a power cut can still lose it. A program that is killed leaves the old file or none.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, |file| file.write_all(bytes), |_| Ok(()))
}

fn put(
    path: &Path,
    body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    sync: impl FnOnce(&File) -> io::Result<()>,
) -> Result<()> {
    let fail = |error| Error::io(path, "writing", error);
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::metadata(&target) {
        Ok(found) if found.is_dir() => {
            let message = format!("{}: is a folder; give a file name", path.display());
            Err(Error::new(ErrorKind::Usage, message))
        }
        Ok(found) if !found.is_file() => {
            let device = OpenOptions::new().write(true).open(&target);
            device.and_then(|device| fill(device, body).map(drop)).map_err(fail)
        }
        _ => {
            let beside = Beside::of(&target);
            let file = OpenOptions::new().write(true).create_new(true).open(&beside.0);
            let file = file.and_then(|file| fill(file, body)).map_err(fail)?;
            sync(&file).and_then(|()| fs::rename(&beside.0, &target)).map_err(fail)
        }
    }
}

fn fill(file: File, body: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> io::Result<File> {
    let mut file = BufWriter::new(file);
    body(&mut file)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)
}

/// A file in the same folder that is gone when this is dropped, unless it was renamed.
struct Beside(PathBuf);

impl Beside {
    fn of(target: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self(target.with_file_name(format!(".crformer-{}-{number}.part", std::process::id())))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0); // after the rename there is nothing to remove
    }
}

/// Flushes a folder's own entries to the disk, so that a rename in it outlives a power cut.
pub fn sync_folder(path: &Path) -> Result<()> {
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io(path, "flushing", error))
}

/// Makes a file that outgrows the process's limit (`ulimit -f`) a failed write, as a full disk is
/// one. Until this is called, the system ends the process instead, half a file left behind.
pub fn outgrowing_is_an_error() -> Result<()> {
    let handled = signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
    handled.map(drop).map_err(|error| {
        Error::new(ErrorKind::Io, format!("taking over the signal SIGXFSZ failed: {error}"))
    })
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
        write(&path, b"new").expect("second write");
        assert_eq!(fs::read(&path).expect("replaced"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn a_full_disk_is_an_error_and_a_device_stays_one() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: this system has no /dev/full");
            return;
        }
        let error = write_whole(full, |file| file.write_all(&[0; 100])).expect_err("no space");
        assert!(error.to_string().contains("/dev/full: writing failed"), "{error}");
        write(Path::new("/dev/null"), b"gone").expect("a device takes it");
        assert!(!fs::metadata("/dev/null").expect("still there").is_file());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, b"old").expect("a file");
        std::os::unix::fs::symlink(&file, &link).expect("a link");
        write_whole(&link, |out| out.write_all(b"new")).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read(&file).expect("there"), b"new");
    }

    #[test]
    fn a_longer_file_and_an_endless_device_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("long");
        write(&path, b"12345").expect("written");
        assert_eq!(read(&path, 5).expect("just fits"), b"12345");
        let error = read(&path, 4).expect_err("one too many");
        assert!(error.to_string().contains("longer than the 4 bytes"), "{error}");
        assert!(read(Path::new("/dev/zero"), 1000).is_err());
    }
}
