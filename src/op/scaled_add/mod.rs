//! Sum with a learned scale (eq. 12): `out = alpha a + b`.
//!
//! `alpha [1]`; `a`, `b` and `out` have one shape.
//!
//! Backward: `dalpha = sum of dout a`, `da = alpha dout`, `db = dout`.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::cpu::sum::total_workspace;
use crate::error::Result;

/// Inputs: `alpha`, `a`, `b`.
#[derive(Clone, Debug)]
pub struct ScaledAdd {}

impl Operation for ScaledAdd {
    fn name(&self) -> &'static str {
        "scaled_add"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let [alpha, a, b] = inputs else { return wrong("alpha [1], a and b") };
        let real = inputs.iter().all(|i| i.kind == Kind::Activation);
        if alpha.shape.extents() != [1] || a.shape != b.shape || !real {
            return wrong("alpha [1] and b of a's shape");
        }
        Ok(Signature {
            out: TensorType::activation(a.shape.clone()),
            kept: Vec::new(),
            reads_inputs: vec![true, true, false],
            reads_out: false,
            differentiable: vec![true; 3],
            forward_workspace: 0,
            backward_workspace: total_workspace(a.shape.len()),
        })
    }
}
