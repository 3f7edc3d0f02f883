//! The picture of the full model.

use crformer::op::contract::TensorType;
use crformer::op::image_patches::ImagePatches;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let image = TensorType::activation([1, 3, 480, 480]);
    run::both(c, "image_patches/3x480x480", ImagePatches { patch: 4 }, &[image]);
}
