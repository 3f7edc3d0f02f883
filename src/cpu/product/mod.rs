//! Index: matrix products with what follows them, on all threads, without taking memory.

mod grid;
mod kernel;
mod left;
mod matrix;
mod multiply;
mod panels;
mod task;

pub use matrix::{Matrix, MatrixMut, Right};
pub use multiply::{multiply, multiply_then};
pub use panels::Panels;
