//! The reconstruction loss.

use crformer::op::contract::TensorType;
use crformer::op::mse::Mse;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let inputs = [TensorType::activation([8, 512]), TensorType::activation([8, 512])];
    run::both(c, "mse/8x512", Mse { detach_second: false }, &inputs);
}
