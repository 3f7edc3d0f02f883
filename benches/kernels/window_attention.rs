//! The windows of every stage, shifted and not.

use crformer::op::contract::TensorType;
use crformer::op::window_attention::WindowAttention;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for (size, channels, heads) in [(120, 128, 4), (60, 256, 8), (30, 512, 16), (15, 1024, 32)] {
        for shift in [0, 6] {
            let inputs = [
                TensorType::activation([1, size, size, 3 * channels]),
                TensorType::activation([3 * channels]),
                TensorType::activation([23 * 23, heads]),
            ];
            let op = WindowAttention { heads, window: 12, shift };
            let name = format!("window_attention/{size}x{size}x{channels} shifted by {shift}");
            run::both(c, &name, op, &inputs);
        }
    }
}
