//! What an operation has to move and to compute at least, for throughputs: every number read or written once,
//! and the products.

use crformer::cuda::precision::Precision;
use crformer::op::Op;
use crformer::op::contract::TensorType;
use crformer::op::device::stored;
use criterion::Throughput;

use crate::subject::Subject;

#[derive(Clone, Copy, PartialEq)]
pub enum Direction {
    Forward,
    Backward,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Forward => "forward",
            Direction::Backward => "backward",
        }
    }
}

/// Bytes to and from memory, floating-point operations of products.
pub struct Work {
    bytes: usize,
    flop: usize,
}

impl Work {
    pub fn of(subject: &Subject, direction: Direction, precision: Precision) -> Self {
        let products = multiply_adds(subject);
        let (bytes, flop) = match direction {
            Direction::Forward => (forward_bytes(subject, precision), 2 * products),
            Direction::Backward => (backward_bytes(subject, precision), 4 * products),
        };
        Self { bytes, flop }
    }

    pub fn throughput(&self) -> Throughput {
        match (self.bytes as u64, self.flop as u64) {
            (bytes, 0) => Throughput::Bytes(bytes),
            (bytes, elements) => Throughput::ElementsAndBytes { elements, bytes },
        }
    }
}

fn bytes(of: &TensorType, precision: Precision) -> usize {
    of.shape.len() * stored(of.kind, precision).bytes()
}

fn forward_bytes(subject: &Subject, precision: Precision) -> usize {
    let Subject { op, types, signature, .. } = subject;
    let of = |t: &TensorType| bytes(t, precision);
    let read = match op {
        // As many rows of the words' table as there are words; a part of the input.
        Op::Embedding(_) => of(&types[0]) + of(&signature.out),
        Op::Slice(_) => of(&signature.out),
        _ => types.iter().map(of).sum(),
    };
    read + of(&signature.out) + signature.kept.iter().map(of).sum::<usize>()
}

/// Gradients of parameters are f32.
fn backward_bytes(subject: &Subject, precision: Precision) -> usize {
    let Subject { op, types, signature, .. } = subject;
    let of = |t: &TensorType| bytes(t, precision);
    let parameters = op.on_cuda().parameters();
    let inputs = || types.iter().enumerate();
    let read = inputs().filter(|(i, _)| signature.reads_inputs[*i]).map(|(_, t)| of(t));
    let written = inputs()
        .filter(|(i, _)| signature.differentiable[*i])
        .map(|(i, t)| if parameters.contains(&i) { bytes(t, Precision::F32) } else { of(t) });
    let out = if signature.reads_out { of(&signature.out) } else { 0 };
    let kept: usize = signature.kept.iter().map(of).sum();
    read.sum::<usize>() + written.sum::<usize>() + out + kept + of(&signature.out)
}

/// Of the forward pass's products. Backward's are twice as many, what it computes again not counted.
fn multiply_adds(Subject { op, types, signature, .. }: &Subject) -> usize {
    let out = signature.out.shape.len();
    let extents = |i: usize| types[i].shape.extents();
    // Keys of each query, for scores and for values.
    let attention = |keys: usize| 2 * out * keys;
    let rows_a_sample = |i: usize| types[i].shape.rows() / extents(i)[0];
    match op {
        Op::Linear(_) => out * extents(1)[1],
        Op::Mlp(_) => types[0].shape.rows() * (types[1].shape.len() + types[3].shape.len()),
        Op::Conv(_) => out * extents(1)[1..].iter().product::<usize>(),
        Op::SelfAttention(_) => attention(rows_a_sample(0)),
        Op::CrossAttention(_) | Op::SoftmaxWeightedSum(_) => attention(rows_a_sample(1)),
        Op::WindowAttention(of) => attention(of.window * of.window),
        _ => 0,
    }
}
