//! Every operation on the CPU against naive loops and central differences, one file an operation.

#[path = "../support/mod.rs"]
mod support;

/// Queries of one sequence over keys and values of another, in heads.
mod cross_attention;
/// Products have the same bits with any number of threads.
mod gemm;
/// `activation(inp weight^T + bias) + residual`
mod linear;
/// Queries, keys and values of one sequence, in heads.
mod self_attention;
/// `softmax(u w^T) values`
mod softmax_weighted_sum;
/// Swin's shifted windows against the literal pad, roll, partition, mask and roll back.
mod window_attention;
