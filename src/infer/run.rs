//! The loop of an inference program: questions in, files and JSON lines out, in order.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::files::Folder;
use super::pairs::{Item, Pair};
use super::predictor::{Predictor, Prepared};
use super::report;
use crate::data::image::{Picture, read};
use crate::error::{Error, ErrorKind, Result};

/// Where the demo model lies in the repository.
const DEMO: &str = "weights/demo";

/// The model that is taken where none is named: `weights/demo` in the current folder, else in the folder
/// of the program or one above it, so that a fresh clone works from anywhere.
pub fn default_model() -> PathBuf {
    let here = PathBuf::from(DEMO);
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.ancestors().skip(1).map(|folder| folder.join(DEMO));
    std::iter::once(here.clone()).chain(beside).find(|path| path.is_dir()).unwrap_or(here)
}

/// Answers every item: two files in `out`, one line in `lines`.
///
/// In a `batch` an item that fails gives a line with `error`, and the others go on.
///
/// # Errors
/// Lines that cannot be written. In a batch, [`ErrorKind::Partial`] at the end if any item
/// failed; otherwise the item's own error, without a line.
pub fn run(
    predictor: &mut Predictor,
    items: &[Item],
    batch: bool,
    out: &Path,
    lines: &mut dyn Write,
) -> Result<()> {
    let folder = Folder::create(out, items)?;
    let mut work = Work { predictor, folder, last: None };
    let mut failed = 0;
    for (before, item) in items.iter().enumerate() {
        let answered = match item {
            Item::Pair(pair) => work.answer(pair, before + 1),
            Item::Unreadable { error, .. } => Err(Error::new(error.kind(), error.to_string())),
        };
        let line = match answered {
            Ok(line) => line,
            Err(error) if batch => {
                failed += 1;
                report::failure(item, &error)?
            }
            Err(error) => return Err(error),
        };
        let written = writeln!(lines, "{line}").and_then(|()| lines.flush());
        written.map_err(|error| Error::io("standard output", "writing", error))?;
    }
    match (failed, items.len()) {
        (0, _) => Ok(()),
        (failed, all) => {
            let message = format!("{failed} of {all} failed; their lines say why under \"error\"");
            Err(Error::new(ErrorKind::Partial, message))
        }
    }
}

struct Work<'a> {
    predictor: &'a mut Predictor,
    folder: Folder,
    /// The picture of the item before: several phrases on one picture read it once.
    last: Option<(PathBuf, Picture, Prepared)>,
}

impl Work<'_> {
    fn answer(&mut self, pair: &Pair, number: usize) -> Result<String> {
        let at = |error: Error| error.at(pair.picture.display());
        let last = self.last.take().filter(|(path, ..)| *path == pair.picture);
        let (path, picture, prepared) = match last {
            Some(last) => last,
            None => {
                let picture = read(&pair.picture)?;
                let prepared = self.predictor.prepare(&picture).map_err(at)?;
                (pair.picture.clone(), picture, prepared)
            }
        };
        let answered = self.predictor.answer(&prepared, &pair.phrase).map_err(at);
        let (_, picture, _) = self.last.insert((path, picture, prepared));
        let answered = answered?;
        let files = self.folder.files(&pair.picture, number);
        self.folder.write(&files, picture, &answered.prediction.mask)?;
        report::answer(pair, &answered, &files)
    }
}
