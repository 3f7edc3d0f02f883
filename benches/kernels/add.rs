//! Residuals of the image encoder, fused features after ReLU, and positions.

use crformer::op::add::Add;
use crformer::op::contract::TensorType;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    for (name, shape, relu) in [
        ("add/120x120x128", [1, 14_400, 128], false),
        ("add/60x60x256+relu", [1, 3600, 256], true),
        ("add/30x30x512", [1, 900, 512], false),
    ] {
        let inputs = [TensorType::activation(shape), TensorType::activation(shape)];
        run::both(c, name, Add { relu }, &inputs);
    }
    let inputs = [TensorType::activation([4, 900, 512]), TensorType::activation([900, 512])];
    run::both(c, "add/4x900x512+positions", Add { relu: false }, &inputs);
}
