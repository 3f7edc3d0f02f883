//! The least an operation can do, by what it says of itself, however it is computed.
//!
//! Bytes: each input, each tensor that is kept, the output and each gradient once, as far as the pass reads or writes
//! them; a gradient that is added to, twice. Activations and parameters count in the working precision (a kernel may read
//! a parameter in f32), statistics, indices and gradients of parameters with four bytes. Tables of which only some rows
//! are read (embedding), tensors of which only a part is (slice) and padding make the least too much, never too little.
//!
//! Useful operations of matrix products: a multiplication and an addition are two. An attention's forward pass makes two
//! products, its backward pass five: no schedule keeps the scores. Queries are the real ones, keys all of a window: a kernel
//! that leaves out what a shifted window masks does less than that. What an MLP makes again is not useful.

use crformer::cuda::precision::Precision;
use crformer::op::Op;
use crformer::op::contract::TensorType;
use crformer::op::device::stored;

use crate::work::{Direction, Work};

fn bytes_of(of: &TensorType, precision: Precision) -> u64 {
    (of.shape.len() * stored(of.kind, precision).bytes()) as u64
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
        let format = if input.parameter { Precision::F32 } else { precision };
        let once = bytes_of(&input.of, format);
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
        Op::Mlp(_) => 2 * inp.rows() * (second?.len() + shape(3)?.len()),
        Op::Conv(_) => 2 * inp.rows() * second?.len(),
        Op::SelfAttention(_) => 4 * inp.len() / 3 * (inp.rows() / batch),
        Op::CrossAttention(_) | Op::SoftmaxWeightedSum(_) => {
            4 * inp.len() * (second?.rows() / batch)
        }
        Op::WindowAttention(of) => 4 * inp.len() / 3 * of.window * of.window,
        _ => return None,
    };
    let all = match (work.direction, &work.op) {
        (Direction::Backward, Op::Linear(_) | Op::Conv(_)) => {
            forward * work.writes[..2].iter().flatten().count()
        }
        (Direction::Backward, Op::Mlp(_)) => return Some(2 * through_mlp(work, inp.rows())),
        (Direction::Backward, _) => forward / 2 * 5,
        _ => forward,
    };
    Some(all as u64)
}

/// Products and sums of an MLP's gradients: of each weight one product where its gradient is wanted, one through the
/// second layer where anything before it is, one through the first where `inp` or the norm has a gradient.
fn through_mlp(work: &Work, rows: usize) -> u64 {
    let wanted = |i: usize| work.writes.get(i).is_some_and(Option::is_some);
    let weight = |i: usize| rows * work.inputs[i].of.shape.len();
    let into_norm = wanted(0) || [5, 6].into_iter().any(|i| wanted(i) && work.inputs[i].parameter);
    let before_second = into_norm || wanted(1) || wanted(2);
    let products = [
        (wanted(3), weight(3)),
        (before_second, weight(3)),
        (wanted(1), weight(1)),
        (into_norm, weight(1)),
    ];
    products.iter().filter(|(wanted, _)| *wanted).map(|(_, len)| *len as u64).sum()
}
