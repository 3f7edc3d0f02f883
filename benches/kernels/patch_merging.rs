//! The three mergings of Swin.

use crformer::op::contract::TensorType;
use crformer::op::patch_merging::PatchMerging;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for (size, channels) in [(120, 128), (60, 256), (30, 512)] {
        let inp = TensorType::activation([1, size, size, channels]);
        run::both(c, &format!("patch_merging/{size}x{size}x{channels}"), PatchMerging {}, &[inp]);
    }
}
