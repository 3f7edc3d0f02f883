//! Index: what a model learns from, as it lies on disk, to batches of numbers.

pub mod image;
mod jpeg;
pub mod loader;
pub mod resize;
mod vocabulary;
pub mod wordpiece;
