//! What runs the graph on CUDA devices stands on.

pub mod kernels;
