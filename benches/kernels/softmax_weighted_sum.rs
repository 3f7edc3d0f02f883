//! The queries' sum over words.

use crformer::op::contract::TensorType;
use crformer::op::softmax_weighted_sum::SoftmaxWeightedSum;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let (u, w) = (TensorType::activation([1, 24, 512]), TensorType::activation([1, 20, 512]));
    let inputs = [u, w.clone(), w, TensorType::index([1, 20])];
    run::both(c, "softmax_weighted_sum/24x512 over 20", SoftmaxWeightedSum {}, &inputs);
}
