//! Index: what a model learns from, as it lies on disk, to batches of numbers.

pub mod coco;
pub mod drawn;
pub mod image;
mod jpeg;
pub mod loader;
pub mod mask;
pub mod pickle;
pub mod refer;
pub mod resize;
mod vocabulary;
pub mod wordpiece;
