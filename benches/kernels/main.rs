//! Every operation on the CPU, both directions, at the shapes of the model at 480 x 480.
//!
//! One file an operation. `RAYON_NUM_THREADS` says how many threads, as everywhere.

use criterion::{criterion_group, criterion_main};

mod add;
mod concat;
mod dropout;
mod embedding;
mod layer_norm;
mod masked_mean;
mod mse;
mod run;
mod scaled_add;
mod slice;
mod transpose;
mod weighted_sum;

criterion_group!(
    kernels,
    add::bench,
    concat::bench,
    dropout::bench,
    embedding::bench,
    layer_norm::bench,
    masked_mean::bench,
    mse::bench,
    scaled_add::bench,
    slice::bench,
    transpose::bench,
    weighted_sum::bench,
);
criterion_main!(kernels);
