//! Index: what runs the graph on CUDA devices stands on.

pub mod arguments;
pub mod attention;
pub mod device;
pub mod elementwise;
pub mod kernels;
pub mod layer_norm;
pub mod library;
pub mod memory;
pub mod precision;
pub mod upload;
