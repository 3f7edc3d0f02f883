//! Index: COCO's annotation files.

mod instances;
mod segmentation;

pub use instances::{Annotation, Category, Image, Instances, Wanted};
pub use segmentation::{Counts, Runs, Segmentation};
