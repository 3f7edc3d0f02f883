//! Linear layer with its prologue and epilogue:
//! `out = residual + drop(activation(norm(inp) weight^T + bias))`.
//!
//! `inp [.., I]`, `weight [O, ..]` with `I` elements a row, weight and bias of the norm `[I]`,
//! `bias [O]`, `residual [.., O]`, `out [.., O]`. `norm` is layer norm over channels (as the
//! operation `layer_norm`), of which each row's mean and rstd are kept, not what it makes;
//! `drop` is dropout. With GELU forward keeps `pre = norm(inp) weight^T + bias`.
//!
//! Backward, with `dpre = drop(dout) activation'(pre)` and `n = norm(inp)`, made again:
//! `dn = dpre weight`, `dweight = dpre^T n`, `dbias = sum over rows of dpre`, `dresidual = dout`;
//! without a norm `dinp = dn`, else layer norm's backward pass goes on from `dn`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::activation::Activation;
use crate::cpu::dropout::Dropout;
use crate::cpu::norm;
use crate::cpu::sum::column_sums_workspace;
use crate::error::Result;

/// Inputs: `inp`, `weight`, then the norm's weight and bias, `bias` and `residual` as far as there
/// are any.
#[derive(Clone, Debug, Default)]
pub struct Linear {
    /// What the norm adds to the variance, if there is one.
    pub norm: Option<f64>,
    pub activation: Activation,
    pub bias: bool,
    /// Only without activation: the activation's derivative is read off the output.
    pub residual: bool,
    /// Only with a residual.
    pub drop: Option<Dropout>,
    /// The weight's numbers lie in [`Panels`](crate::cpu::product::Panels) of its transposed, which
    /// spares packing them in each pass. Only a session without backward pass stores them so.
    pub packed: bool,
}

impl Linear {
    /// Where the norm's weight stands among the inputs; its bias follows.
    fn norm_input(&self) -> Option<usize> {
        self.norm.map(|_| 2)
    }

    fn bias_input(&self) -> Option<usize> {
        self.bias.then_some(2 + self.norms())
    }

    fn residual_input(&self) -> Option<usize> {
        self.residual.then_some(2 + self.norms() + usize::from(self.bias))
    }

    /// Inputs that belong to the norm.
    fn norms(&self) -> usize {
        if self.norm.is_some() { 2 } else { 0 }
    }

    fn inputs(&self) -> usize {
        2 + self.norms() + usize::from(self.bias) + usize::from(self.residual)
    }

    /// Whether `dpre` is another matrix than `dout`.
    fn differentiates(&self) -> bool {
        self.activation != Activation::None || self.drop.is_some()
    }

    fn check(&self, inputs: &[&TensorType]) -> Result<()> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        if inputs.len() != self.inputs() || inputs[0].shape.rank() < 1 || inputs[1].shape.rank() < 2
        {
            return wrong(
                "inp [.., I], weight [O, I] and its optional norm (weight, bias), bias and residual",
            );
        }
        let (inp, weight) = (&inputs[0].shape, &inputs[1].shape);
        let outputs = weight.extents()[0];
        if weight.len() != outputs * inp.channels() {
            return wrong("weight [O, I] with as many columns as inp has channels");
        }
        let is_vector = |i: usize, len: usize| inputs[i].shape.extents() == [len];
        if self.norm_input().is_some_and(|i| {
            inp.is_empty() || !is_vector(i, inp.channels()) || !is_vector(i + 1, inp.channels())
        }) {
            return wrong("inp [.., I] with at least one element, norm weight [I] and bias [I]");
        }
        if self.bias_input().is_some_and(|i| !is_vector(i, outputs)) {
            return wrong("bias [O]");
        }
        if self.residual_input().is_some_and(|i| inputs[i].shape != inp.with_channels(outputs)) {
            return wrong("residual of the output's shape");
        }
        if self.residual && self.activation != Activation::None {
            return wrong("no activation beside a residual");
        }
        if self.drop.is_some() && (!self.residual || inp.rank() < 2) {
            return wrong("a residual and inp [B, .., I] where something is dropped");
        }
        self.drop.as_ref().map_or(Ok(()), Dropout::check)
    }

    fn kept(&self, rows: usize, out: &TensorType) -> Vec<TensorType> {
        let statistics = self.norm.map(|_| vec![TensorType::statistic([rows]); 2]);
        let pre = (self.activation == Activation::Gelu).then(|| out.clone());
        statistics.into_iter().flatten().chain(pre).collect()
    }

    /// Elements of scratch memory on the CPU: `n` or `dn`, `dpre`, sums.
    fn backward_workspace(&self, rows: usize, inputs: usize, outputs: usize) -> [usize; 3] {
        let has_norm = self.norm.is_some();
        let of_bias = if self.bias { column_sums_workspace(rows, outputs) } else { 0 };
        let of_norm = if has_norm { norm::backward_workspace(rows, inputs) } else { 0 };
        [
            if has_norm { rows * inputs } else { 0 },
            if self.differentiates() { rows * outputs } else { 0 },
            of_bias.max(of_norm),
        ]
    }
}

impl Operation for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        self.check(inputs)?;
        let inp = &inputs[0].shape;
        let (rows, outputs) = (inp.rows(), inputs[1].shape.extents()[0]);
        let out = TensorType::activation(inp.with_channels(outputs));
        let mut reads_inputs = vec![true; 2 + self.norms()];
        reads_inputs.resize(inputs.len(), false);
        let mut differentiable = vec![true; inputs.len()];
        differentiable[1] = !self.packed;
        Ok(Signature {
            kept: self.kept(rows, &out),
            reads_inputs,
            reads_out: self.activation == Activation::Relu,
            differentiable,
            forward_workspace: self.norm.map_or(0, |_| inp.len()),
            backward_workspace: self.backward_workspace(rows, inp.channels(), outputs).iter().sum(),
            out,
        })
    }
}
