//! The decoder's attention to its queries, and the fusion of every stage with the words.

use crformer::op::contract::TensorType;
use crformer::op::cross_attention::CrossAttention;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let q = TensorType::activation([1, 30, 30, 512]);
    let key_value = TensorType::activation([1, 24, 2 * 512]);
    let op = CrossAttention { heads: 8, masked: false };
    run::both(c, "cross_attention/30x30x512 to 24", op, &[q, key_value]);
    for (size, channels) in [(60, 256), (30, 512), (15, 1024)] {
        let q = TensorType::activation([1, size, size, channels]);
        let key_value = TensorType::activation([1, 20, 2 * channels]);
        let op = CrossAttention { heads: 1, masked: true };
        let name = format!("cross_attention/{size}x{size}x{channels} to 20 words");
        run::both(c, &name, op, &[q, key_value, TensorType::index([1, 20])]);
    }
}
