//! Every operation on the CPU against naive loops and central differences, one file an operation.

#[path = "../support/mod.rs"]
mod support;

/// Mean of 2 x 2 pixels.
mod avg_pool;
/// Convolution with zero padding to the same size.
mod conv;
/// Cross-entropy of the upsampled logits.
mod cross_entropy;
/// Products have the same bits with any number of threads.
mod gemm;
/// Pictures cut into patches.
mod image_patches;
/// `activation(inp weight^T + bias) + residual`
mod linear;
/// Neighbouring pixels side by side.
mod patch_merging;
/// Bilinear resizing.
mod resize;
