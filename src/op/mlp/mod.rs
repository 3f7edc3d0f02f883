//! Two linear layers with an activation between them, and what stands around them:
//! `out = residual + drop(activation(norm(inp) weight1^T + bias1) weight2^T + bias2)`.
//!
//! `inp [.., I]`, `weight1 [H, I]`, `bias1 [H]`, `weight2 [O, H]`, `bias2 [O]`, weight and bias of the norm `[I]`,
//! `residual [.., O]` or `inp` itself, `out [.., O]`. `norm` is layer norm over channels (as the operation
//! `layer_norm`), of which each row's mean and rstd are kept; `drop` is dropout. With `keep_hidden` forward keeps
//! `pre = norm(inp) weight1^T + bias1`, else backward makes it again. Nobody keeps `hidden = activation(pre)`.
//!
//! Backward, with `d = drop(dout)` and `n = norm(inp)`: `dresidual = dout`, `dweight2 = d^T hidden`,
//! `dbias2 = sum over rows of d`, `dpre = (d weight2) activation'(pre)`, `dweight1 = dpre^T n`,
//! `dbias1 = sum over rows of dpre`, `dn = dpre weight1`; without a norm `dinp = dn`, else layer norm's backward pass
//! goes on from `dn`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::activation::Activation;
use crate::cpu::dropout::Dropout;
use crate::cpu::linear::backward_workspace;
use crate::error::Result;

/// Inputs: `inp`, `weight1`, `bias1`, `weight2`, `bias2`, then the norm's weight and bias and `residual` as far as there
/// are any.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// What the norm adds to the variance, if there is one.
    pub norm: Option<f64>,
    pub activation: Activation,
    pub residual: Residual,
    /// Only with a residual.
    pub drop: Option<Dropout>,
    /// Whether what the activation is applied to stays from the forward to the backward pass, or is made again.
    pub keep_hidden: bool,
    /// The weights' numbers lie in [`Panels`](crate::cpu::product::Panels) of their transposed, which spares packing
    /// them in each pass. Only a session without backward pass stores them so.
    pub packed: bool,
}

/// What the branch is added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Residual {
    #[default]
    None,
    /// The tensor that the branch begins with, whose gradient is then the sum of both.
    Inp,
    /// An input of its own.
    Other,
}

/// Extents of both layers.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Leading extent of the input: each has as many of the rows.
    samples: usize,
    rows: usize,
    inputs: usize,
    hidden: usize,
    outputs: usize,
}

impl Sizes {
    fn of(types: &[&TensorType]) -> Self {
        let inp = &types[0].shape;
        Self {
            samples: inp.extents()[0],
            rows: inp.rows(),
            inputs: inp.channels(),
            hidden: types[1].shape.extents()[0],
            outputs: types[3].shape.extents()[0],
        }
    }
}

impl Mlp {
    /// Where the norm's weight stands among the inputs; its bias follows.
    fn norm_input(&self) -> Option<usize> {
        self.norm.map(|_| 5)
    }

    /// Where the residual stands, if it is an input of its own.
    fn residual_input(&self) -> Option<usize> {
        (self.residual == Residual::Other).then_some(5 + self.norms())
    }

    /// Inputs that belong to the norm, and as many kept tensors.
    fn norms(&self) -> usize {
        if self.norm.is_some() { 2 } else { 0 }
    }

    fn inputs(&self) -> usize {
        5 + self.norms() + usize::from(self.residual == Residual::Other)
    }

    fn check(&self, inputs: &[&TensorType]) -> Result<()> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let rank = |i: usize| inputs[i].shape.rank();
        if inputs.len() != self.inputs() || rank(0) < 1 || rank(1) != 2 || rank(3) != 2 {
            return wrong(
                "inp [.., I], weight1 [H, I], bias1, weight2 [O, H], bias2 and its optional norm \
                 (weight, bias) and residual",
            );
        }
        let (inp, Sizes { inputs: channels, hidden, outputs, .. }) =
            (&inputs[0].shape, Sizes::of(inputs));
        let is = |i: usize, extents: &[usize]| inputs[i].shape.extents() == extents;
        if inp.is_empty() || !is(1, &[hidden, channels]) || !is(3, &[outputs, hidden]) {
            return wrong(
                "inp [.., I] with at least one element, weight1 [H, I] and weight2 [O, H]",
            );
        }
        if !is(2, &[hidden]) || !is(4, &[outputs]) {
            return wrong("bias1 [H] and bias2 [O]");
        }
        if self.norm_input().is_some_and(|i| !is(i, &[channels]) || !is(i + 1, &[channels])) {
            return wrong("norm weight [I] and bias [I]");
        }
        let of_output = |i: usize| inputs[i].shape == inp.with_channels(outputs);
        let residual = match self.residual {
            Residual::None => None,
            Residual::Inp => Some(0),
            Residual::Other => self.residual_input(),
        };
        if residual.is_some_and(|i| !of_output(i)) {
            return wrong("residual of the output's shape");
        }
        if self.drop.is_some() && (residual.is_none() || inp.rank() < 2) {
            return wrong("a residual and inp [B, .., I] where something is dropped");
        }
        self.drop.as_ref().map_or(Ok(()), Dropout::check)
    }

    fn kept(&self, inp: &TensorType, sizes: &Sizes) -> Vec<TensorType> {
        let statistics = self.norm.map(|_| vec![TensorType::statistic([sizes.rows]); 2]);
        let pre = TensorType::activation(inp.shape.with_channels(sizes.hidden));
        let pre = self.keep_hidden.then_some(pre);
        statistics.into_iter().flatten().chain(pre).collect()
    }

    /// Whether what the norm makes lies in the output on the CPU until that is made.
    fn normalises_in_out(&self, sizes: &Sizes) -> bool {
        sizes.inputs <= sizes.outputs
    }

    /// Elements of scratch memory on the CPU: what the norm makes, and `hidden`.
    fn forward_workspace(&self, sizes: &Sizes) -> [usize; 2] {
        let of_norm = match self.norm {
            Some(_) if !self.normalises_in_out(sizes) => sizes.rows * sizes.inputs,
            _ => 0,
        };
        [of_norm, sizes.rows * sizes.hidden]
    }

    /// The same of the backward pass: `d`, `pre`, `hidden` and then `dpre`, the derivatives, and what the layers take.
    fn backward_workspace(&self, sizes: &Sizes) -> [usize; 5] {
        let &Sizes { rows, inputs, hidden, outputs, .. } = sizes;
        let first = backward_workspace(rows, inputs, hidden, self.norm.is_some(), true);
        let second = backward_workspace(rows, hidden, outputs, false, true);
        [
            if self.drop.is_some() { rows * outputs } else { 0 },
            if self.keep_hidden { 0 } else { rows * hidden },
            rows * hidden,
            rows * hidden,
            first.max(second),
        ]
    }
}

impl Operation for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        self.check(inputs)?;
        let sizes = Sizes::of(inputs);
        let mut reads_inputs = vec![true; inputs.len()];
        (reads_inputs[2], reads_inputs[4]) = (!self.keep_hidden, false);
        if let Some(residual) = self.residual_input() {
            reads_inputs[residual] = false;
        }
        let mut differentiable = vec![true; inputs.len()];
        (differentiable[1], differentiable[3]) = (!self.packed, !self.packed);
        Ok(Signature {
            kept: self.kept(inputs[0], &sizes),
            reads_inputs,
            reads_out: false,
            differentiable,
            forward_workspace: self.forward_workspace(&sizes).iter().sum(),
            backward_workspace: self.backward_workspace(&sizes).iter().sum(),
            out: TensorType::activation(inputs[0].shape.with_channels(sizes.outputs)),
        })
    }
}
