pub mod data;
pub mod error;
pub mod file;
pub mod rng;
pub mod shape;
