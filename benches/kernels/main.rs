//! Every operation on the CPU, both directions, at the shapes of the model at 480 x 480.
//!
//! One file an operation. `RAYON_NUM_THREADS` says how many threads, as everywhere.

use criterion::{criterion_group, criterion_main};

mod add;
mod avg_pool;
mod concat;
mod conv;
mod cross_attention;
mod cross_entropy;
mod embedding;
mod image_patches;
mod layer_norm;
mod linear;
mod masked_mean;
mod mse;
mod patch_merging;
mod resize;
mod run;
mod scaled_add;
mod self_attention;
mod slice;
mod softmax_weighted_sum;
mod transpose;
mod weighted_sum;
mod window_attention;

criterion_group!(
    kernels,
    add::bench,
    avg_pool::bench,
    concat::bench,
    conv::bench,
    cross_attention::bench,
    cross_entropy::bench,
    embedding::bench,
    image_patches::bench,
    layer_norm::bench,
    linear::bench,
    masked_mean::bench,
    mse::bench,
    patch_merging::bench,
    resize::bench,
    scaled_add::bench,
    self_attention::bench,
    slice::bench,
    softmax_weighted_sum::bench,
    transpose::bench,
    weighted_sum::bench,
    window_attention::bench,
);
criterion_main!(kernels);
