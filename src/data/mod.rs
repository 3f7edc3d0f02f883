//! Index: what a model learns from, as it lies on disk, to batches of numbers.

pub mod drawn;
pub mod image;
