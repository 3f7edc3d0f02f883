//! Index: numbers with names, in files.

pub mod adapt;
pub mod pretrained;
pub mod read;
pub mod save;

pub use read::TensorFile;
