//! From a record to the annotation, the picture and the shape that its ids name.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::record::Record;
use super::reference::{Reference, place};
use crate::data::coco::{Image, Instances, Segmentation};
use crate::error::{Error, ErrorKind, Result};

/// Where the pictures may lie, under the root; the first folder that there is counts.
const PICTURE_FOLDERS: [&str; 2] = ["images/mscoco/images/train2014", "images/train2014"];

/// Turns the records of one file into references.
pub(super) struct Join<'a> {
    records_path: &'a Path,
    instances_path: Arc<Path>,
    instances: Instances,
    pictures: PathBuf,
    /// The checked shapes that have been referred to, by annotation.
    shapes: HashMap<i64, Arc<Segmentation>>,
}

impl<'a> Join<'a> {
    pub(super) fn new(
        root: &Path,
        records_path: &'a Path,
        instances_path: Arc<Path>,
        instances: Instances,
    ) -> Self {
        let [first, second] = PICTURE_FOLDERS.map(|folder| root.join(folder));
        let pictures = if !first.is_dir() && second.is_dir() { second } else { first };
        Self { records_path, instances_path, instances, pictures, shapes: HashMap::new() }
    }

    /// The reference of a record; an id that names nothing is an error.
    pub(super) fn reference(&mut self, record: Record) -> Result<Reference> {
        self.check_annotation(&record)?;
        let image = self.instances.images.get(&record.image_id);
        let image = image.ok_or_else(|| self.dangling(&record, "image_id", record.image_id))?;
        let (height, width) = (image.height, image.width);
        Ok(Reference {
            image_path: self.image_path(image)?,
            segmentation: self.shape(&record, height, width)?,
            ref_id: record.ref_id,
            ann_id: record.ann_id,
            image_id: record.image_id,
            category_id: record.category_id,
            split: record.split,
            width,
            height,
            sentences: record.sentences,
            instances_path: Arc::clone(&self.instances_path),
        })
    }

    fn check_annotation(&self, record: &Record) -> Result<()> {
        let Record { ref_id, ann_id, image_id, .. } = *record;
        let Some(annotation) = self.instances.annotations.get(&ann_id) else {
            return Err(self.dangling(record, "ann_id", ann_id));
        };
        if annotation.image_id == image_id {
            return Ok(());
        }
        let message = format!(
            "expected an object of image {image_id}, as {} says; found one of image {}; the two \
             files do not belong together",
            self.records_path.display(),
            annotation.image_id
        );
        let place = place(&self.instances_path, ref_id, ann_id);
        Err(Error::new(ErrorKind::Data, message).at(place))
    }

    /// The picture's path, which a file name cannot lead out of the folder of pictures.
    fn image_path(&self, image: &Image) -> Result<PathBuf> {
        let name = Path::new(&image.file_name);
        let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
        if inside && !image.file_name.is_empty() {
            return Ok(self.pictures.join(name));
        }
        let message = format!(
            "image {}: file_name is expected to name a file in {}; found {:?}",
            image.id,
            self.pictures.display(),
            image.file_name
        );
        Err(Error::data(&self.instances_path, message))
    }

    /// The shape of the record's annotation, checked when it is first asked for.
    fn shape(&mut self, record: &Record, height: usize, width: usize) -> Result<Arc<Segmentation>> {
        if let Some(shape) = self.shapes.get(&record.ann_id) {
            return Ok(Arc::clone(shape));
        }
        let annotation = self.instances.annotations.get_mut(&record.ann_id);
        let shape = annotation.and_then(|annotation| annotation.segmentation.take());
        let shape = shape.ok_or_else(|| {
            Error::new(ErrorKind::Data, "the segmentation is missing; without it there is no mask")
        });
        let checked = shape.and_then(|shape| shape.check(height, width).map(|()| Arc::new(shape)));
        let shape = checked
            .map_err(|error| error.at(place(&self.instances_path, record.ref_id, record.ann_id)))?;
        self.shapes.insert(record.ann_id, Arc::clone(&shape));
        Ok(shape)
    }

    /// The error of a record whose `field` names what the other file does not have.
    fn dangling(&self, record: &Record, field: &str, id: i64) -> Error {
        let message = format!(
            "ref_id {} (ann_id {}) refers to {field} {id}, which {} does not have; the two files \
             do not belong together, or one is incomplete",
            record.ref_id,
            record.ann_id,
            self.instances_path.display()
        );
        Error::data(self.records_path, message)
    }
}
