//! Matrices transposed: `out[b, n, m] = inp[b, m, n]`.
//!
//! `inp [B, M, N]`, or a map `[B, H, W, N]` whose places are the rows; `out [B, N, M]`. Backward: `dinp[b, m, n] = dout[b, n, m]`.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Input: `inp`.
#[derive(Clone, Debug)]
pub struct Transpose {}

impl Operation for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = || Err(mismatch(self.name(), "inp [B, M, N] or [B, H, W, N]", inputs));
        let &[TensorType { shape, kind: Kind::Activation }] = inputs else { return wrong() };
        let &[batch, ref rows @ .., cols] = shape.extents() else { return wrong() };
        if !matches!(rows.len(), 1 | 2) {
            return wrong();
        }
        let rows: usize = rows.iter().product();
        Ok(Signature {
            out: TensorType::activation([batch, cols, rows]),
            kept: Vec::new(),
            reads_inputs: vec![false],
            reads_out: false,
            differentiable: vec![true],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
