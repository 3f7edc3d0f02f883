//! Linear layer with its epilogue: `out = activation(inp weight^T + bias) + residual`.
//!
//! `inp [.., I]`, `weight [O, ..]` with `I` elements a row, `bias [O]`, `residual [.., O]`,
//! `out [.., O]`. With GELU forward keeps `pre = inp weight^T + bias`.
//!
//! Backward, with `dpre = dout activation'(pre)`:
//! `dinp = dpre weight`, `dweight = dpre^T inp`, `dbias = sum over rows of dpre`,
//! `dresidual = dout`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::activation::Activation;
use crate::cpu::sum::column_sums_workspace;
use crate::error::Result;

/// Inputs: `inp`, `weight`, then `bias` and `residual` as far as there are any.
#[derive(Clone, Debug)]
pub struct Linear {
    pub activation: Activation,
    pub bias: bool,
    /// Only without activation: the activation's derivative is read off the output.
    pub residual: bool,
    /// The weight's numbers lie in [`Panels`](crate::cpu::product::Panels) of its transposed, which
    /// spares packing them in each pass. Only a session without backward pass stores them so.
    pub packed: bool,
}

impl Linear {
    fn bias_input(&self) -> Option<usize> {
        self.bias.then_some(2)
    }

    fn residual_input(&self) -> Option<usize> {
        self.residual.then_some(2 + usize::from(self.bias))
    }
}

impl Operation for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let count = 2 + usize::from(self.bias) + usize::from(self.residual);
        if inputs.len() != count || inputs[0].shape.rank() < 1 || inputs[1].shape.rank() < 2 {
            return wrong("inp [.., I], weight [O, I] and its optional bias and residual");
        }
        let (inp, weight) = (&inputs[0].shape, &inputs[1].shape);
        let outputs = weight.extents()[0];
        if weight.len() != outputs * inp.channels() {
            return wrong("weight [O, I] with as many columns as inp has channels");
        }
        let out = inp.with_channels(outputs);
        if self.bias_input().is_some_and(|i| inputs[i].shape.extents() != [outputs]) {
            return wrong("bias [O]");
        }
        if self.residual_input().is_some_and(|i| inputs[i].shape != out) {
            return wrong("residual of the output's shape");
        }
        if self.residual && self.activation != Activation::None {
            return wrong("no activation beside a residual");
        }
        let rows = inp.rows();
        let dpre = if self.activation == Activation::None { 0 } else { out.len() };
        let sums = if self.bias { column_sums_workspace(rows, outputs) } else { 0 };
        let keeps = self.activation == Activation::Gelu;
        let mut reads_inputs = vec![true, true];
        reads_inputs.resize(count, false);
        let mut differentiable = vec![true; count];
        differentiable[1] = !self.packed;
        Ok(Signature {
            kept: if keeps { vec![TensorType::activation(out.clone())] } else { Vec::new() },
            reads_inputs,
            reads_out: self.activation == Activation::Relu,
            differentiable,
            forward_workspace: 0,
            backward_workspace: dpre + sums,
            out: TensorType::activation(out),
        })
    }
}
