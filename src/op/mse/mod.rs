//! Mean squared difference (eq. 14): `out = mean of (a - b)^2`.
//!
//! `a` and `b [B, C]`, `out [1]` a statistic; the mean is over both extents.
//!
//! Backward, with `n = B C`: `da = 2 / n (a - b) dout`, `db = -da`, or none where the second input
//! is detached.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::cpu::sum::total_workspace;
use crate::error::Result;

/// Inputs: `a`, `b`.
#[derive(Clone, Debug)]
pub struct Mse {
    /// Whether no gradient flows into `b`.
    pub detach_second: bool,
}

impl Operation for Mse {
    fn name(&self) -> &'static str {
        "mse"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let [a, b] = inputs else { return wrong("a and b") };
        let real = inputs.iter().all(|i| i.kind == Kind::Activation);
        if a.shape != b.shape || a.shape.rank() != 2 || a.shape.is_empty() || !real {
            return wrong("a [B, C] and b [B, C]");
        }
        Ok(Signature {
            out: TensorType::statistic([1]),
            kept: Vec::new(),
            reads_inputs: vec![true; 2],
            reads_out: false,
            differentiable: vec![true, !self.detach_second],
            forward_workspace: total_workspace(a.shape.len()),
            backward_workspace: 0,
        })
    }
}
