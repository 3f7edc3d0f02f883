//! Sum of values weighted by a softmax over words (eq. 8-9): `out = softmax(u w^T) values`, not
//! scaled, one head, masked words left out exactly.
//!
//! `u [B, Q, C]`, `w [B, L, C]`, `values [B, L, C]`, `mask` index `[B, L]`, `out [B, Q, C]`.
//! Forward keeps `lse [B, 1, Q]`, the logarithm of each query's sum of exponentials.
//!
//! Backward reads the inputs and `lse` and computes the weights again: `p = exp(u w^T - lse)`,
//! `dvalues = p^T dout`, `dp = dout values^T`, `ds = p (dp - sum(p dp))`, `du = ds w`,
//! `dw = ds^T u`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::attention::{self, Sizes};
use crate::error::Result;
use crate::shape::Shape;

/// Inputs: `u`, `w`, `values`, `mask`.
#[derive(Clone, Debug)]
pub struct SoftmaxWeightedSum {}

impl SoftmaxWeightedSum {
    fn sizes(u: &Shape, w: &Shape) -> Option<Sizes> {
        let &[batch, words, channels] = w.extents() else { return None };
        let sizes = Sizes::new(u, words, 1)?;
        let agree = u.rank() == 3 && batch == sizes.batch && channels == sizes.head_dim;
        agree.then_some(Sizes { scale: 1.0, ..sizes })
    }
}

impl Operation for SoftmaxWeightedSum {
    fn name(&self) -> &'static str {
        "softmax_weighted_sum"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = || {
            let needed = "u [B, Q, C], w [B, L, C], values [B, L, C], mask: index [B, L]";
            Err(mismatch(self.name(), needed, inputs))
        };
        if inputs.len() != 4 || inputs[2].shape != inputs[1].shape {
            return wrong();
        }
        let Some(sizes) = Self::sizes(&inputs[0].shape, &inputs[1].shape) else { return wrong() };
        if *inputs[3] != TensorType::index([sizes.batch, sizes.keys]) {
            return wrong();
        }
        Ok(Signature {
            out: TensorType::activation(inputs[0].shape.clone()),
            kept: vec![TensorType::statistic([sizes.batch, 1, sizes.queries])],
            reads_inputs: vec![true; 4],
            reads_out: false,
            differentiable: vec![true, true, true, false],
            forward_workspace: attention::forward_workspace(&sizes),
            backward_workspace: attention::backward_workspace(&sizes),
        })
    }
}
