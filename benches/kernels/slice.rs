//! The global token of a sentence.

use crformer::op::contract::TensorType;
use crformer::op::slice::Slice;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let inp = [TensorType::activation([8, 20, 768])];
    run::both(c, "slice/8x1of20x768", Slice { axis: 1, start: 0, len: 1 }, &inp);
}
