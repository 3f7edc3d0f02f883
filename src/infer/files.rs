//! The two pictures that an answer is written to: the mask, and the mask laid over the picture.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::pairs::Item;
use crate::data::image::{Picture, overlay, write_mask_png, write_png};
use crate::data::mask::Mask;
use crate::error::{Error, Result};

const COLOR: [u8; 3] = [230, 30, 60];
const OPACITY: f32 = 0.5;

/// Where answers are written, and what must not be written over.
pub struct Folder {
    path: PathBuf,
    inputs: HashSet<PathBuf>,
}

/// `<stem>-<number>.mask.png` and `.overlay.png`.
pub struct Files {
    pub mask: PathBuf,
    pub overlay: PathBuf,
}

impl Folder {
    /// Makes the folder if it is not there (the empty path is the current folder); the pictures of `items` are safe in it.
    pub fn create(path: &Path, items: &[Item]) -> Result<Self> {
        fs::create_dir_all(path).map_err(|e| Error::io(path, "making the output folder", e))?;
        let inputs = items.iter().filter_map(|item| match item {
            Item::Pair(pair) => fs::canonicalize(&pair.picture).ok(),
            Item::Unreadable { .. } => None,
        });
        Ok(Self { path: path.to_owned(), inputs: inputs.collect() })
    }

    /// The files of item `number`. Numbers differ, so names do, whatever the pictures are called.
    pub fn files(&self, picture: &Path, number: usize) -> Files {
        let file = |what: &str| {
            let mut name = picture.file_stem().unwrap_or_default().to_owned();
            name.push(format!("-{number}.{what}.png"));
            self.path.join(name)
        };
        Files { mask: file("mask"), overlay: file("overlay") }
    }

    /// Writes both files or, on any failure, leaves neither.
    pub fn write(&self, files: &Files, picture: &Picture, mask: &Mask) -> Result<()> {
        self.refuse_input(&files.mask)?;
        self.refuse_input(&files.overlay)?;
        let laid_over = overlay(picture, &mask.pixels, COLOR, OPACITY)?;
        write_mask_png(&files.mask, &mask.pixels, mask.width, mask.height)?;
        write_png(&files.overlay, &laid_over).inspect_err(|_| {
            // The failure to write is what to report, not one to clean up after it.
            let _ = fs::remove_file(&files.mask);
        })
    }

    fn refuse_input(&self, file: &Path) -> Result<()> {
        match fs::canonicalize(file) {
            Ok(found) if self.inputs.contains(&found) => Err(Error::usage(format!(
                "{}: is a picture that was asked about and would be written over; give another \
                 output folder",
                file.display()
            ))),
            _ => Ok(()),
        }
    }
}
