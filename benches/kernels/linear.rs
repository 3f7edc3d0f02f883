//! The linear layers that the model's time goes to: Swin's four stages, BERT, the decoder.
//!
//! For one picture, or as many as each number of `CRFORMER_BENCH_BATCH="1 8"` says.

use crformer::cpu::activation::Activation;
use crformer::op::contract::TensorType;
use crformer::op::linear::Linear;
use criterion::Criterion;

use crate::run;

pub fn bench(c: &mut Criterion) {
    let shapes = [
        (14_400, 128, 384),
        (14_400, 128, 512),
        (3600, 256, 1024),
        (900, 512, 1536),
        (900, 512, 2048),
        (900, 2048, 512),
        (225, 1024, 4096),
        (20, 768, 3072),
    ];
    let batches = run::batches().into_iter();
    let times = |batch| shapes.map(|(rows, channels, outputs)| (batch * rows, channels, outputs));
    for (rows, channels, outputs) in batches.flat_map(times) {
        let inputs = [
            TensorType::activation([rows, channels]),
            TensorType::activation([outputs, channels]),
            TensorType::activation([outputs]),
        ];
        let activation = if outputs > channels { Activation::Gelu } else { Activation::None };
        let op = Linear { activation, bias: true, ..Linear::default() };
        run::both(c, &format!("linear/{rows}x{channels} to {outputs}"), op, &inputs);
    }
}
