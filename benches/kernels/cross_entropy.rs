//! The loss of the full model and of the small one.

use crformer::op::contract::TensorType;
use crformer::op::cross_entropy::CrossEntropy;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for (batch, grid, size) in [(1, 30, 480), (16, 6, 96)] {
        let inputs = [
            TensorType::activation([batch, grid, grid, 2]),
            TensorType::index([batch, size, size]),
        ];
        let op = CrossEntropy { class_weights: [0.9, 1.1] };
        run::both(c, &format!("cross_entropy/{batch}x{grid}x{grid} to {size}"), op, &inputs);
    }
}
