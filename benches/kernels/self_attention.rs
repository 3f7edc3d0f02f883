//! The decoder's attention of the map to itself, and the text encoder's.

use crformer::op::contract::TensorType;
use crformer::op::self_attention::SelfAttention;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let qkv = TensorType::activation([1, 30, 30, 3 * 512]);
    let op = SelfAttention { heads: 8, masked: false };
    run::both(c, "self_attention/30x30x512", op, &[qkv]);
    let (qkv, mask) = (TensorType::activation([1, 20, 3 * 768]), TensorType::index([1, 20]));
    let op = SelfAttention { heads: 12, masked: true };
    run::both(c, "self_attention/20x768", op, &[qkv, mask]);
}
