//! Every operation on the CPU against naive loops and central differences, one file an operation.

#[path = "../support/mod.rs"]
mod support;

/// `a + b`, `a + relu(b)`, with `b` repeated over samples
mod add;
/// Mean of 2 x 2 pixels.
mod avg_pool;
/// Several tensors one after the other along an axis
mod concat;
/// Convolution with zero padding to the same size.
mod conv;
/// Queries of one sequence over keys and values of another, in heads.
mod cross_attention;
/// Cross-entropy of the upsampled logits.
mod cross_entropy;
/// Elements or whole samples dropped at random
/// Sum of three table rows for each token
mod embedding;
/// Pictures cut into patches.
mod image_patches;
/// `(inp - mean) rstd weight + bias`
mod layer_norm;
/// `activation(inp weight^T + bias) + residual`
mod linear;
/// Mean over the rows that count
mod masked_mean;
/// Mean squared difference
mod mse;
/// Neighbouring pixels side by side.
mod patch_merging;
/// Matrix products of every layout, what follows them, the same bits with any number of threads.
mod product;
/// Bilinear resizing.
mod resize;
/// `alpha a + b`
mod scaled_add;
/// Queries, keys and values of one sequence, in heads.
mod self_attention;
/// A part of an axis
mod slice;
/// `softmax(u w^T) values`
mod softmax_weighted_sum;
/// `[B, M, N]` to `[B, N, M]`
mod transpose;
/// Weighted sum of scalars
mod weighted_sum;
/// Swin's shifted windows against the literal pad, roll, partition, mask and roll back.
mod window_attention;
