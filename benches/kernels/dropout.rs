//! Dropout of elements in the decoder, of samples (stochastic depth) in the image encoder.

use crformer::op::contract::TensorType;
use crformer::op::dropout::Dropout;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let inp = [TensorType::activation([1, 900, 512])];
    run::both(c, "dropout/900x512", Dropout { rate: 0.1, per_sample: false }, &inp);
    let inp = [TensorType::activation([2, 14_400, 128])];
    run::both(c, "dropout/samples/2x14400x128", Dropout { rate: 0.1, per_sample: true }, &inp);
}
