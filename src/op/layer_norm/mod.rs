//! Layer norm over channels: `out = (inp - mean) rstd weight + bias`, one row after the other.
//!
//! `inp [.., C]`, `weight [C]`, `bias [C]`, `out [.., C]`; `mean` is the row's mean,
//! `rstd = 1 / sqrt(mean of (inp - mean)^2 + eps)`. Both are kept, one number a row.
//!
//! Backward, with `n = (inp - mean) rstd` and `g = dout weight`:
//! `dinp = rstd (g - mean(g) - n mean(g n))`, `dweight = sum over rows of dout n`,
//! `dbias = sum over rows of dout`.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::cpu::norm::backward_workspace;
use crate::error::Result;

/// Inputs: `inp`, `weight`, `bias`.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f64,
}

impl Operation for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        if inputs.len() != 3 || inputs.iter().any(|i| i.kind != Kind::Activation) {
            return wrong("inp [.., C], weight [C] and bias [C]");
        }
        let inp = &inputs[0].shape;
        if inp.rank() == 0 || inp.is_empty() {
            return wrong("inp [.., C] with at least one element");
        }
        let channels = inp.channels();
        if inputs[1..].iter().any(|i| i.shape.extents() != [channels]) {
            return wrong("weight [C] and bias [C] with as many numbers as inp has channels");
        }
        Ok(Signature {
            out: TensorType::activation(inp.clone()),
            kept: vec![TensorType::statistic([inp.rows()]); 2],
            reads_inputs: vec![true, true, false],
            reads_out: false,
            differentiable: vec![true; 3],
            forward_workspace: 0,
            backward_workspace: backward_workspace(inp.rows(), channels),
        })
    }
}
