//! Index: what a model learns from, as it lies on disk, to batches of numbers.

pub mod image;
pub mod jpeg;
pub mod loader;
pub mod resize;
pub mod vocabulary;
pub mod wordpiece;
