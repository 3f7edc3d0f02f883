//! Sum of two tensors: `out = a + b` or `out = a + relu(b)`.
//!
//! `a` and `out` have one shape. `b` has it too, or it lacks the leading extent (or has 1 there)
//! and is repeated over it, as positions are over the samples of a batch.
//!
//! Backward: `da = dout`; `db = dout`, for ReLU where `b > 0` and else 0, summed over the leading
//! extent where `b` is repeated. `b` is read for ReLU.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Inputs: `a`, `b`.
#[derive(Clone, Debug)]
pub struct Add {
    /// Whether ReLU is applied to `b` first.
    pub relu: bool,
}

impl Operation for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let [a, b] = inputs else { return wrong("a and b") };
        let (full, part) = (a.shape.extents(), b.shape.extents());
        let repeated = full.len() == part.len() && part.starts_with(&[1]) && full[1..] == part[1..]
            || full.len() == part.len() + 1 && full[1..] == *part;
        if full != part && !repeated || inputs.iter().any(|i| i.kind != Kind::Activation) {
            return wrong(
                "b of a's shape, or of a's shape without (or with 1 for) its first extent",
            );
        }
        Ok(Signature {
            out: TensorType::activation(a.shape.clone()),
            kept: Vec::new(),
            reads_inputs: vec![false, self.relu],
            reads_out: false,
            differentiable: vec![true; 2],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
