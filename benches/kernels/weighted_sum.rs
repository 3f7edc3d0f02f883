//! The total loss.

use crformer::op::contract::TensorType;
use crformer::op::weighted_sum::WeightedSum;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let inputs = [TensorType::statistic([1]), TensorType::statistic([1])];
    run::both(c, "weighted_sum/2", WeightedSum { weights: vec![1.0, 0.1] }, &inputs);
}
