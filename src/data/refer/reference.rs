//! One reference of a data set: its object, its picture, its sentences.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::Sentence;
use crate::data::coco::Segmentation;
use crate::data::mask::{Mask, Overlap};
use crate::error::{Error, Result};

/// An object of a picture and the sentences that refer to it.
#[derive(Clone, Debug)]
pub struct Reference {
    pub ref_id: i64,
    pub ann_id: i64,
    pub image_id: i64,
    pub category_id: i64,
    /// As the record says it: `train`, `val`, `testA`, ...
    pub split: String,
    pub image_path: PathBuf,
    /// Of the picture, in pixels, as `instances.json` gives it.
    pub width: usize,
    pub height: usize,
    /// Shared by the references to one annotation.
    pub segmentation: Arc<Segmentation>,
    pub sentences: Vec<Sentence>,
    pub(super) instances_path: Arc<Path>,
}

impl Reference {
    /// The object's pixels, in the size of the picture.
    pub fn mask(&self, overlap: Overlap) -> Result<Mask> {
        self.segmentation
            .mask(self.height, self.width, overlap)
            .map_err(|error| error.at(place(&self.instances_path, self.ref_id, self.ann_id)))
    }

    /// The path of the picture, which must be a file.
    pub fn picture(&self) -> Result<&Path> {
        if self.image_path.is_file() {
            return Ok(&self.image_path);
        }
        let message = format!(
            "the picture of reference {} (image_id {}) is not there; unpack COCO's train2014 \
             pictures into this folder",
            self.ref_id, self.image_id
        );
        Err(Error::data(&self.image_path, message))
    }
}

/// Where a wrong annotation stands.
pub(super) fn place(instances: &Path, ref_id: i64, ann_id: i64) -> String {
    format!("{}: annotation {ann_id} (of ref_id {ref_id})", instances.display())
}
