//! The least an operation can do, by what it says of itself, however it is computed.
//!
//! Bytes: each input, each tensor that is kept, the output and each gradient once, as far as the pass reads or writes
//! them; a gradient that is added to, twice. Activations and parameters count in the working precision (a kernel may read
//! a parameter in f32), statistics, indices and gradients of parameters with four bytes. Tables of which only some rows
//! are read (embedding), tensors of which only a part is (slice) and padding make the least too much, never too little.
//!
//! Useful operations of matrix products: a product and a sum are two; the backward pass of an attention makes four products of
//! the forward pass's two, the scores once more are not useful. Queries are the real ones, keys all of a window.

use crformer::cuda::precision::Precision;
use crformer::op::Op;
use crformer::op::contract::{Kind, TensorType};

use crate::memory::{format, gradient_format};
use crate::work::{Direction, Work};

fn bytes_of(of: &TensorType, precision: Precision) -> u64 {
    let width = if of.kind == Kind::Index { 4 } else { format(of, precision).bytes() };
    (of.shape.len() * width) as u64
}

/// Bytes that have to move.
pub fn bytes(work: &Work, precision: Precision) -> u64 {
    let signature = &work.signature;
    let inputs = work.inputs.iter().map(|input| bytes_of(&input.of, precision));
    let out = bytes_of(&signature.out, precision);
    let kept: u64 = signature.kept.iter().map(|kept| bytes_of(kept, precision)).sum();
    match work.direction {
        Direction::Inference => inputs.sum::<u64>() + out,
        Direction::Forward => inputs.sum::<u64>() + out + kept,
        Direction::Backward => {
            let read = inputs.zip(&signature.reads_inputs).filter(|(_, reads)| **reads);
            let read: u64 = read.map(|(bytes, _)| bytes).sum();
            let again = if signature.reads_out { out } else { 0 };
            read + again + kept + out + gradients(work, precision)
        }
    }
}

fn gradients(work: &Work, precision: Precision) -> u64 {
    let of = |(input, write): (&crate::work::Input, &Option<crformer::write::Write>)| {
        let once = (input.of.shape.len() * gradient_format(input, precision).bytes()) as u64;
        write.map_or(0, |write| if write.adds() { 2 * once } else { once })
    };
    work.inputs.iter().zip(&work.writes).map(of).sum()
}

/// Useful operations of matrix products, where the operation is made of some.
pub fn products(work: &Work) -> Option<u64> {
    let shape = |i: usize| work.inputs.get(i).map(|input| &input.of.shape);
    let (inp, second) = (shape(0)?, shape(1));
    let batch = *inp.extents().first()?;
    let forward = match &work.op {
        Op::Linear(_) => {
            let outputs = work.signature.out.shape.channels();
            2 * inp.len() * outputs
        }
        Op::Conv(_) => 2 * inp.rows() * second?.len(),
        Op::SelfAttention(_) => 4 * inp.len() / 3 * (inp.rows() / batch),
        Op::CrossAttention(_) | Op::SoftmaxWeightedSum(_) => {
            4 * inp.len() * (second?.rows() / batch)
        }
        Op::WindowAttention(of) => 4 * inp.len() / 3 * of.window * of.window,
        _ => return None,
    };
    let passes = match (work.direction, &work.op) {
        (Direction::Backward, Op::Linear(_) | Op::Conv(_)) => {
            work.writes[..2].iter().flatten().count()
        }
        (Direction::Backward, _) => 2,
        _ => 1,
    };
    Some((forward * passes) as u64)
}
