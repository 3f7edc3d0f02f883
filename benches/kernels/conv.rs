//! The convolutions of the neck, of the queries and of the head.

use crformer::op::contract::TensorType;
use crformer::op::conv::Conv;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for (channels, outputs) in [(514, 512), (512, 24), (512, 2)] {
        let inputs = [
            TensorType::activation([1, 30, 30, channels]),
            TensorType::activation([outputs, channels, 3, 3]),
            TensorType::activation([outputs]),
        ];
        run::both(c, &format!("conv/30x30x{channels} to {outputs}"), Conv {}, &inputs);
    }
}
