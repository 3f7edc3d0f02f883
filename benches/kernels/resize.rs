//! The doubling of the neck and the upsampling of the logits.

use crformer::op::contract::TensorType;
use crformer::op::resize::Resize;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for (size, channels, to, align_corners) in [(15, 512, 30, false), (30, 2, 480, true)] {
        let op = Resize { height: to, width: to, align_corners };
        let inp = TensorType::activation([1, size, size, channels]);
        run::both(c, &format!("resize/{size}x{size}x{channels} to {to}"), op, &[inp]);
    }
}
