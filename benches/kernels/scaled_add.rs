//! The calibrated queries, for eight samples.

use crformer::op::contract::TensorType;
use crformer::op::scaled_add::ScaledAdd;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let queries = TensorType::activation([8, 24, 512]);
    let inputs = [TensorType::activation([1]), queries.clone(), queries];
    run::both(c, "scaled_add/8x24x512", ScaledAdd {}, &inputs);
}
