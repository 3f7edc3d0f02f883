//! The neck's concatenation and the words with their global token.

use crformer::op::concat::Concat;
use crformer::op::contract::TensorType;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let map = |channels| TensorType::activation([1, 30, 30, channels]);
    let maps = [map(1024), map(1024), map(512)];
    run::both(c, "concat/30x30x1024+1024+512", Concat { axis: 3 }, &maps);
    let coordinates = [map(512), map(2)];
    run::both(c, "concat/30x30x512+2", Concat { axis: 3 }, &coordinates);
    let words = [TensorType::activation([1, 20, 512]), TensorType::activation([1, 1, 512])];
    run::both(c, "concat/20+1x512", Concat { axis: 1 }, &words);
}
