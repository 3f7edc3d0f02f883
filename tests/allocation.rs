//! Training steps take no memory: forward, backward, norm and update of small graphs under an
//! allocator that counts, in a binary of its own so that nothing else runs.

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::error::Result;
use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values};
use crformer::graph::{Graph, Initial, Origin, Reverse, TensorId};
use crformer::op::Op;
use crformer::op::add::Add;
use crformer::op::avg_pool::AvgPool;
use crformer::op::concat::Concat;
use crformer::op::contract::{Kind, TensorType};
use crformer::op::conv::Conv;
use crformer::op::cross_attention::CrossAttention;
use crformer::op::cross_entropy::CrossEntropy;
use crformer::op::embedding::Embedding;
use crformer::op::image_patches::ImagePatches;
use crformer::op::layer_norm::LayerNorm;
use crformer::op::linear::Linear;
use crformer::op::masked_mean::MaskedMean;
use crformer::op::mse::Mse;
use crformer::op::patch_merging::PatchMerging;
use crformer::op::resize::Resize;
use crformer::op::scaled_add::ScaledAdd;
use crformer::op::self_attention::SelfAttention;
use crformer::op::slice::Slice;
use crformer::op::softmax_weighted_sum::SoftmaxWeightedSum;
use crformer::op::transpose::Transpose;
use crformer::op::weighted_sum::WeightedSum;
use crformer::op::window_attention::WindowAttention;
use crformer::optim::adamw::{Decay, Rate, Update};

#[path = "support/allocations.rs"]
mod allocations;

/// Rows and channels: several chunks for every parallel loop.
const ROWS: usize = 300;
const CHANNELS: usize = 160;
const HIDDEN: usize = 2 * CHANNELS;
const WORDS: usize = 7;

/// A graph under construction; nodes and parameters are numbered.
struct Builder(Graph);

impl Builder {
    fn parameter<const N: usize>(&mut self, extents: [usize; N]) -> Result<TensorId> {
        let name = format!("parameter{}", self.0.tensors().count());
        self.0.parameter(&name, extents.into(), Initial::Constant(0.0))
    }

    fn add(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId> {
        let name = format!("node{}", self.0.nodes().len());
        self.0.add(&name, op, inputs)
    }

    fn norm(&mut self, inp: TensorId) -> Result<TensorId> {
        let inputs = [inp, self.parameter([CHANNELS])?, self.parameter([CHANNELS])?];
        self.add(LayerNorm { eps: 1e-5 }, &inputs)
    }

    fn linear(
        &mut self,
        inp: TensorId,
        channels: usize,
        outputs: usize,
        activation: Activation,
    ) -> Result<TensorId> {
        let inputs = [inp, self.parameter([outputs, channels])?, self.parameter([outputs])?];
        self.add(Linear { activation, bias: true, ..Linear::default() }, &inputs)
    }

    fn loss(mut self, a: TensorId, b: TensorId) -> Result<(Graph, TensorId)> {
        let mask = self.0.input("mask", TensorType::index([2, 7]))?;
        let a = self.add(MaskedMean { masked: true }, &[a, mask])?;
        let b = self.add(MaskedMean { masked: false }, &[b])?;
        let mse = self.add(Mse { detach_second: false }, &[a, b])?;
        let loss = self.add(WeightedSum { weights: vec![0.5] }, &[mse])?;
        self.0.output(loss);
        Ok((self.0, loss))
    }
}

/// Every operation of plain loops.
fn plain_loops() -> Result<(Graph, TensorId)> {
    let mut b = Builder(Graph::new());
    let tokens = b.0.input("tokens", TensorType::index([2, ROWS]))?;
    let tables = [tokens, b.parameter([50, CHANNELS])?, b.parameter([ROWS, CHANNELS])?];
    let tables = [tables[0], tables[1], tables[2], b.parameter([2, CHANNELS])?];
    let x = b.add(Embedding {}, &tables)?;
    let normal = b.norm(x)?;
    let alpha = b.parameter([1])?;
    let scaled = b.add(ScaledAdd {}, &[alpha, normal, x])?;
    let turned = b.add(Transpose {}, &[scaled])?;
    let back = b.add(Transpose {}, &[turned])?;
    let both = b.add(Concat { axis: 2 }, &[back, normal])?;
    let part = b.add(Slice { axis: 2, start: 7, len: CHANNELS }, &[both])?;
    let positions = b.parameter([ROWS, CHANNELS])?;
    let placed = b.add(Add { relu: true }, &[part, positions])?;
    b.loss(placed, scaled)
}

/// Linear layers with every prologue and epilogue.
fn linear_layers() -> Result<(Graph, TensorId)> {
    let mut b = Builder(Graph::new());
    let x = b.0.input("x", TensorType::activation([2, ROWS, CHANNELS]))?;
    let normal = b.norm(x)?;
    let gelu = b.linear(normal, CHANNELS, HIDDEN, Activation::Gelu)?;
    let relu = b.linear(gelu, HIDDEN, CHANNELS, Activation::Relu)?;
    let inputs = [relu, b.parameter([CHANNELS, CHANNELS])?, b.parameter([CHANNELS])?, normal];
    let op = Linear { bias: true, residual: true, ..Linear::default() };
    let mut last = b.add(op.clone(), &inputs)?;
    for per_sample in [false, true] {
        let norm = [b.parameter([CHANNELS])?, b.parameter([CHANNELS])?];
        let (weight, bias) = (b.parameter([CHANNELS, CHANNELS])?, b.parameter([CHANNELS])?);
        let drop = Some(Dropout { rate: 0.1, per_sample });
        let inputs = [last, weight, norm[0], norm[1], bias, normal];
        last = b.add(Linear { norm: Some(1e-5), drop, ..op.clone() }, &inputs)?;
    }
    b.loss(last, normal)
}

/// Attention of a sequence to itself and to words.
fn attention() -> Result<(Graph, TensorId)> {
    let mut b = Builder(Graph::new());
    let x = b.0.input("x", TensorType::activation([2, ROWS, CHANNELS]))?;
    let words = b.0.input("words", TensorType::activation([2, WORDS, CHANNELS]))?;
    let mask = b.0.input("sequence_mask", TensorType::index([2, ROWS]))?;
    let word_mask = b.0.input("word_mask", TensorType::index([2, WORDS]))?;
    let qkv = b.linear(x, CHANNELS, 3 * CHANNELS, Activation::None)?;
    let attended = b.add(SelfAttention { heads: 4, masked: true }, &[qkv, mask])?;
    let key_value = b.linear(words, CHANNELS, 2 * CHANNELS, Activation::None)?;
    let heads = CrossAttention { heads: 4, masked: true };
    let crossed = b.add(heads, &[attended, key_value, word_mask])?;
    let keys = b.linear(words, CHANNELS, CHANNELS, Activation::None)?;
    let values = b.linear(words, CHANNELS, CHANNELS, Activation::None)?;
    let summed = b.add(SoftmaxWeightedSum {}, &[crossed, keys, values, word_mask])?;
    b.loss(summed, attended)
}

/// A picture and the maps made of it.
fn maps() -> Result<(Graph, TensorId)> {
    let mut b = Builder(Graph::new());
    let image = b.0.input("image", TensorType::activation([2, 3, 96, 96]))?;
    let mask = b.0.input("mask", TensorType::index([2, 48, 48]))?;
    let patches = b.add(ImagePatches { patch: 4 }, &[image])?;
    let map = b.linear(patches, 48, CHANNELS, Activation::None)?;
    let qkv = b.linear(map, CHANNELS, 3 * CHANNELS, Activation::None)?;
    let inputs = [qkv, b.parameter([3 * CHANNELS])?, b.parameter([81, 4])?];
    let attended = b.add(WindowAttention { heads: 4, window: 5, shift: 2 }, &inputs)?;
    let merged = b.add(PatchMerging {}, &[attended])?;
    let pooled = b.add(AvgPool {}, &[merged])?;
    let resized = Resize { height: 24, width: 24, align_corners: true };
    let large = b.add(resized, &[pooled])?;
    let inputs = [large, b.parameter([24, 4 * CHANNELS, 3, 3])?, b.parameter([24])?];
    let narrow = b.add(Conv {}, &inputs)?;
    let logits = b.linear(narrow, 24, 2, Activation::None)?;
    let entropy = b.add(CrossEntropy { class_weights: [0.9, 1.1] }, &[logits, mask])?;
    let loss = b.add(WeightedSum { weights: vec![0.5] }, &[entropy])?;
    b.0.output(loss);
    Ok((b.0, loss))
}

/// A session whose parameters and inputs hold numbers.
fn session(graph: &Graph, loss: TensorId, trains: bool) -> Result<CpuSession<f32>> {
    let reverse = if trains { Some(Reverse::new(graph, loss, |_| true)?) } else { None };
    let mut session = CpuSession::new(graph.clone(), reverse, 1);
    for (id, tensor) in graph.tensors() {
        let len = tensor.of.shape.len();
        if tensor.of.kind == Kind::Index {
            let ones = vec![1; len];
            session.write(id, Slot::Value, Values::Index(&ones))?;
        } else if matches!(tensor.origin, Origin::Input | Origin::Parameter(_)) {
            let numbers: Vec<f32> = (0..len).map(|i| (i as f32).sin()).collect();
            session.write(id, Slot::Value, Values::F32(&numbers))?;
        }
    }
    Ok(session)
}

fn train(session: &mut CpuSession<f32>, step: u64, rates: &[Rate]) {
    session.forward(step).expect("a pass");
    session.backward(step, 0.5, false).expect("a pass");
    session.backward(step, 0.5, true).expect("a pass");
    let betas = (0.9, 0.999);
    let decay = Decay::Decoupled;
    let update = Update { decay, betas, eps: 1e-8, step, clip: 1.0 };
    session.update(&update, rates).expect("an update");
}

const STEPS: usize = 10;

/// Requests of `STEPS` steps after two others.
fn of_training((graph, loss): (Graph, TensorId)) -> usize {
    let mut session = session(&graph, loss, true).expect("a session");
    let rates = vec![Rate { learning_rate: 1e-3, decay: 0.1 }; session.trained().len()];
    (1..=2).for_each(|step| train(&mut session, step, &rates));
    allocations::during(|| (3..3 + STEPS as u64).for_each(|step| train(&mut session, step, &rates)))
}

/// Requests of `STEPS` inferences, whose weights are packed, after one other.
fn of_inference((graph, loss): (Graph, TensorId)) -> usize {
    let mut session = session(&graph, loss, false).expect("a session");
    session.forward(1).expect("a pass");
    let mut pass = |step| session.forward(step).expect("a pass");
    allocations::during(|| (2..2 + STEPS as u64).for_each(&mut pass))
}

fn main() {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        for (name, graph) in [
            ("plain loops", plain_loops()),
            ("linear layers", linear_layers()),
            ("attention", attention()),
            ("maps", maps()),
        ] {
            let graph = graph.expect("a graph");
            let training = pool.install(|| of_training(graph.clone()));
            let inference = pool.install(|| of_inference(graph));
            println!(
                "{name}, {threads} threads, {STEPS} steps: {training} and {inference} requests"
            );
            assert_eq!((training, inference), (0, 0), "{name}, {threads} threads: requests");
        }
    }
}
