//! Layer norms of the image encoder, of its patch merging, of the decoder and of the text encoder.

use crformer::op::contract::TensorType;
use crformer::op::layer_norm::LayerNorm;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let shapes = [
        (14_400, 128),
        (3600, 256),
        (900, 512),
        (225, 1024),
        (3600, 512),
        (900, 1024),
        (225, 2048),
        (20, 768),
    ];
    for (rows, channels) in shapes {
        let vector = TensorType::activation([channels]);
        let inputs = [TensorType::activation([rows, channels]), vector.clone(), vector];
        run::both(c, &format!("layer_norm/{rows}x{channels}"), LayerNorm { eps: 1e-5 }, &inputs);
    }
}
