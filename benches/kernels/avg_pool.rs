//! The mean of the neck, from the grid of stage 2.

use crformer::op::avg_pool::AvgPool;
use crformer::op::contract::TensorType;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let inp = TensorType::activation([1, 60, 60, 256]);
    run::both(c, "avg_pool/60x60x256", AvgPool {}, &[inp]);
}
