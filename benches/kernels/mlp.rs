//! The MLPs of Swin's four stages, of BERT and of the decoder, with what is hidden kept and made again.
//!
//! For one picture, or as many as each number of `CRFORMER_BENCH_BATCH="1 8"` says.

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::op::contract::TensorType;
use crformer::op::mlp::{Mlp, Residual};
use crformer::shape::Shape;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let path = |rate| Some(Dropout { rate, per_sample: true });
    let numbers = Some(Dropout { rate: 0.1, per_sample: false });
    let swin =
        |rows, channels| (rows, channels, 4 * channels, Activation::Gelu, Some(1e-5), path(0.2));
    let mlps = [
        swin(14_400, 128),
        swin(3600, 256),
        swin(900, 512),
        swin(225, 1024),
        (20, 768, 3072, Activation::Gelu, None, None),
        (900, 512, 2048, Activation::Relu, Some(1e-5), numbers),
    ];
    for batch in run::batches() {
        for (rows, channels, hidden, activation, norm, drop) in mlps {
            let of = |extents: &[usize]| TensorType::activation(Shape::new(extents));
            let first = [of(&[batch, rows, channels]), of(&[hidden, channels]), of(&[hidden])];
            let second = [of(&[channels, hidden]), of(&[channels])];
            let of_norm = vec![of(&[channels]); if norm.is_some() { 2 } else { 0 }];
            let inputs: Vec<TensorType> = first.into_iter().chain(second).chain(of_norm).collect();
            for keep_hidden in [true, false] {
                let residual = Residual::Inp;
                let op = Mlp { norm, activation, residual, drop, keep_hidden, packed: false };
                let again = if keep_hidden { "" } else { ", hidden again" };
                let name = format!("mlp/{batch}x{rows}x{channels} over {hidden}{again}");
                run::both(c, &name, op, &inputs);
            }
        }
    }
}
