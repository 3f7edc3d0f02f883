//! Every operation on the CPU against naive loops and central differences, one file an operation.

#[path = "../support/mod.rs"]
mod support;

/// Products have the same bits with any number of threads.
mod gemm;
/// `(inp - mean) rstd weight + bias`
mod layer_norm;
/// `activation(inp weight^T + bias) + residual`
mod linear;
