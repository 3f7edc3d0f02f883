//! Every operation, both directions, at the shapes of the model at 480 x 480.
//!
//! One file an operation. On the CPU in f32; `RAYON_NUM_THREADS` says how many threads, as everywhere.
//! `CRFORMER_BENCH_DEVICE=cuda:0` (or `vm`) has a device do it, in bf16 and f32.

use std::process::ExitCode;

use crformer::error::ErrorKind;
use criterion::{Criterion, criterion_group};

#[path = "../support/mod.rs"]
mod support;

mod add;
mod avg_pool;
mod concat;
mod conv;
mod cpu;
mod cross_attention;
mod cross_entropy;
mod device;
mod embedding;
mod image_patches;
mod layer_norm;
mod linear;
mod masked_mean;
mod mlp;
mod mse;
mod patch_merging;
mod resize;
mod run;
mod scaled_add;
mod self_attention;
mod slice;
mod softmax_weighted_sum;
mod subject;
mod transpose;
mod weighted_sum;
mod window_attention;
mod work;

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
    mlp::bench,
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

fn main() -> ExitCode {
    kernels();
    Criterion::default().configure_from_args().final_summary();
    match run::left_out() {
        0 => ExitCode::SUCCESS,
        count => {
            eprintln!("{count} did not fit in the device's memory");
            ExitCode::from(ErrorKind::Memory.exit_code())
        }
    }
}
