//! Training steps take no memory: forward, backward, norm and update of small graphs under an
//! allocator that counts, in a binary of its own so that nothing else runs.
//!
//! The gemm crate takes a packing buffer and a few flags for each large product and gives them back.
//! That is outside our hands, so a graph with products may allocate exactly what its products do
//! when they are called alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use crformer::cpu::activation::Activation;
use crformer::cpu::gemm::{Matrix, MatrixMut, multiply, multiply_here};
use crformer::error::Result;
use crformer::exec::cpu::CpuSession;
use crformer::exec::{Session, Slot, Values};
use crformer::graph::{Graph, Initial, Origin, Reverse, TensorId};
use crformer::op::Op;
use crformer::op::add::Add;
use crformer::op::concat::Concat;
use crformer::op::contract::{Kind, TensorType};
use crformer::op::dropout::Dropout;
use crformer::op::embedding::Embedding;
use crformer::op::layer_norm::LayerNorm;
use crformer::op::linear::Linear;
use crformer::op::masked_mean::MaskedMean;
use crformer::op::mse::Mse;
use crformer::op::scaled_add::ScaledAdd;
use crformer::op::slice::Slice;
use crformer::op::transpose::Transpose;
use crformer::op::weighted_sum::WeightedSum;
use crformer::optim::adamw::{Decay, Rate, Update};
use crformer::write::Write;

/// The system's allocator, counting requests.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_len: usize) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, new_len) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory is asked for while `body` runs.
fn requests(body: impl FnOnce()) -> usize {
    let before = REQUESTS.load(Ordering::SeqCst);
    body();
    REQUESTS.load(Ordering::SeqCst) - before
}

/// Rows and channels: several chunks for every parallel loop.
const ROWS: usize = 300;
const CHANNELS: usize = 160;
const HIDDEN: usize = 2 * CHANNELS;

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
fn without_products() -> Result<(Graph, TensorId)> {
    let mut b = Builder(Graph::new());
    let tokens = b.0.input("tokens", TensorType::index([2, ROWS]))?;
    let tables = [tokens, b.parameter([50, CHANNELS])?, b.parameter([ROWS, CHANNELS])?];
    let tables = [tables[0], tables[1], tables[2], b.parameter([2, CHANNELS])?];
    let x = b.add(Embedding {}, &tables)?;
    let normal = b.norm(x)?;
    let dropped = b.add(Dropout { rate: 0.1, per_sample: false }, &[normal])?;
    let path = b.add(Dropout { rate: 0.1, per_sample: true }, &[dropped])?;
    let alpha = b.parameter([1])?;
    let scaled = b.add(ScaledAdd {}, &[alpha, path, x])?;
    let turned = b.add(Transpose {}, &[scaled])?;
    let back = b.add(Transpose {}, &[turned])?;
    let both = b.add(Concat { axis: 2 }, &[back, normal])?;
    let part = b.add(Slice { axis: 2, start: 7, len: CHANNELS }, &[both])?;
    let positions = b.parameter([ROWS, CHANNELS])?;
    let placed = b.add(Add { relu: true }, &[part, positions])?;
    b.loss(placed, scaled)
}

/// One linear layer with GELU: five products in a step that goes backward twice.
fn with_products() -> Result<(Graph, TensorId)> {
    let mut b = Builder(Graph::new());
    let x = b.0.input("x", TensorType::activation([2, ROWS, CHANNELS]))?;
    let normal = b.norm(x)?;
    let inputs = [normal, b.parameter([HIDDEN, CHANNELS])?, b.parameter([HIDDEN])?];
    let linear =
        Linear { activation: Activation::Gelu, bias: true, residual: false, by_input: false };
    let hidden = b.add(linear, &inputs)?;
    let start = HIDDEN - CHANNELS;
    let part = b.add(Slice { axis: 2, start, len: CHANNELS }, &[hidden])?;
    b.loss(part, normal)
}

/// The products of a step of [`with_products`], alone.
struct Products {
    inp: Vec<f32>,
    weight: Vec<f32>,
    out: Vec<f32>,
    dinp: Vec<f32>,
    dweight: Vec<f32>,
}

impl Products {
    fn new() -> Self {
        Self {
            inp: vec![0.5; 2 * ROWS * CHANNELS],
            weight: vec![0.5; HIDDEN * CHANNELS],
            out: vec![0.5; 2 * ROWS * HIDDEN],
            dinp: vec![0.5; 2 * ROWS * CHANNELS],
            dweight: vec![0.5; HIDDEN * CHANNELS],
        }
    }

    fn step(&mut self) {
        let rows = 2 * ROWS;
        let inp = Matrix::new(&self.inp, rows, CHANNELS);
        let weight = Matrix::new(&self.weight, HIDDEN, CHANNELS);
        multiply(MatrixMut::new(&mut self.out, rows, HIDDEN), Write::Set, inp, weight.t());
        let dpre = Matrix::new(&self.out, rows, HIDDEN);
        for write in [Write::Set, Write::Add] {
            let (dinp, dweight) = (&mut self.dinp, &mut self.dweight);
            multiply(MatrixMut::new(dinp, rows, CHANNELS), Write::Set, dpre, weight);
            multiply(MatrixMut::new(dweight, HIDDEN, CHANNELS), write, dpre.t(), inp);
        }
    }
}

/// The gemm crate keeps one buffer for each thread, taken at its first product.
fn first_product_of_this_thread() {
    let (a, mut out) = (vec![0.0f32; 100 * 100], vec![0.0; 100 * 100]);
    let (lhs, rhs) = (Matrix::new(&a, 100, 100).t(), Matrix::new(&a, 100, 100).t());
    multiply_here(MatrixMut::new(&mut out, 100, 100), Write::Set, 1.0, lhs, rhs);
}

/// A session whose parameters and inputs hold numbers.
fn session(graph: &Graph, loss: TensorId) -> Result<CpuSession<f32>> {
    let reverse = Reverse::new(graph, loss, |_| true)?;
    let mut session = CpuSession::new(graph.clone(), Some(reverse), 1);
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
    session.forward(step);
    session.backward(step, 0.5, false);
    session.backward(step, 0.5, true);
    session.gradient_norm();
    let betas = (0.9, 0.999);
    let decay = Decay::Decoupled;
    session.update(&Update { decay, betas, eps: 1e-8, step, gradient_scale: 1.0 }, rates);
}

const STEPS: usize = 10;

/// Requests of `STEPS` steps after two others.
fn of_training((graph, loss): (Graph, TensorId)) -> usize {
    let mut session = session(&graph, loss).expect("a session");
    let rates = vec![Rate { learning_rate: 1e-3, decay: 0.1 }; session.trained().len()];
    (1..=2).for_each(|step| train(&mut session, step, &rates));
    requests(|| (3..3 + STEPS as u64).for_each(|step| train(&mut session, step, &rates)))
}

fn of_products() -> usize {
    let mut products = Products::new();
    products.step();
    requests(|| (0..STEPS).for_each(|_| products.step()))
}

fn main() {
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.broadcast(|_| first_product_of_this_thread());
        let plain = pool.install(|| of_training(without_products().expect("a graph")));
        assert_eq!(plain, 0, "{threads} threads: {plain} requests in {STEPS} steps");
        let graph = pool.install(|| of_training(with_products().expect("a graph")));
        let products = pool.install(of_products);
        println!("{threads} threads, {STEPS} steps: 0 requests without products, {graph} with");
        assert_eq!(graph, products, "{threads} threads: requests of the graph, of its products");
    }
}
