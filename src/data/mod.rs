//! Index: what a model learns from, as it lies on disk, to batches of numbers.

pub mod coco;
pub mod image;
pub mod mask;
pub mod pickle;
pub mod refer;
