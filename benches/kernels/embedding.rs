//! BERT's tables with one and with sixteen sentences.

use crformer::op::contract::TensorType;
use crformer::op::embedding::Embedding;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for batch in [1, 16] {
        let inputs = [
            TensorType::index([batch, 20]),
            TensorType::activation([30_522, 768]),
            TensorType::activation([512, 768]),
            TensorType::activation([2, 768]),
        ];
        let name = format!("embedding/{batch}x20x768");
        run::both_with_indices(c, &name, Embedding {}, &inputs, 30_522);
    }
}
