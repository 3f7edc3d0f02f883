//! Every operation on the CPU against naive loops and central differences, one file an operation.

#[path = "../support/mod.rs"]
mod support;

/// `a + b`, `a + relu(b)`, with `b` repeated over samples
mod add;
/// Several tensors one after the other along an axis
mod concat;
/// Elements or whole samples dropped at random
mod dropout;
/// Sum of three table rows for each token
mod embedding;
/// Products have the same bits with any number of threads.
mod gemm;
/// `(inp - mean) rstd weight + bias`
mod layer_norm;
/// `activation(inp weight^T + bias) + residual`
mod linear;
/// Mean over the rows that count
mod masked_mean;
/// Mean squared difference
mod mse;
/// `alpha a + b`
mod scaled_add;
/// A part of an axis
mod slice;
/// `[B, M, N]` to `[B, N, M]`
mod transpose;
/// Weighted sum of scalars
mod weighted_sum;
