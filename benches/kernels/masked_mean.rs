//! Means of the reconstruction loss: over words with the global token, over queries.

use crformer::op::contract::TensorType;
use crformer::op::masked_mean::MaskedMean;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let words = [TensorType::activation([8, 21, 512]), TensorType::index([8, 20])];
    run::both(c, "masked_mean/8x21x512", MaskedMean { masked: true }, &words);
    let queries = [TensorType::activation([8, 24, 512])];
    run::both(c, "masked_mean/8x24x512", MaskedMean { masked: false }, &queries);
}
