//! Linear and conv layers, and branches that end in a residual addition.

use super::norm::Normed;
use super::scope::{Scope, fan_in};
use crate::cpu::activation::Activation;
use crate::cpu::dropout::Dropout;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::op::conv::Conv;
use crate::op::linear::Linear;

/// What a linear layer reads.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    Tensor(TensorId),
    /// The norm is computed on the way into the product.
    Normed(Normed),
}

impl From<TensorId> for Source {
    fn from(tensor: TensorId) -> Self {
        Self::Tensor(tensor)
    }
}

impl From<Normed> for Source {
    fn from(normed: Normed) -> Self {
        Self::Normed(normed)
    }
}

impl Source {
    fn tensor(&self) -> TensorId {
        match self {
            Self::Tensor(tensor) | Self::Normed(Normed { inp: tensor, .. }) => *tensor,
        }
    }
}

/// What a branch is added to, and the rate at which it is dropped in training.
#[derive(Clone, Copy, Debug)]
pub struct Residual {
    pub to: TensorId,
    pub drop: f64,
    /// One draw for each sample (drop path) instead of one for each element (dropout).
    pub per_sample: bool,
}

/// A weight, a bias, and how they are used.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub weight: TensorId,
    pub bias: Option<TensorId>,
}

impl Parameters {
    /// `weight [outputs, channels]` and `bias [outputs]` in `scope`.
    pub fn new(scope: &mut Scope, channels: usize, outputs: usize) -> Result<Self> {
        let weight = scope.parameter("weight", [outputs, channels], fan_in(channels))?;
        let bias = scope.parameter("bias", [outputs], Initial::Constant(0.0))?;
        Ok(Self { weight, bias: Some(bias) })
    }
}

/// The node `residual + drop(activation(source W^T + b))`, called `name`.
pub fn product(
    scope: &mut Scope,
    name: &str,
    source: Source,
    Parameters { weight, bias }: Parameters,
    activation: Activation,
    residual: Option<Residual>,
) -> Result<TensorId> {
    let (norm, of_norm) = match source {
        Source::Tensor(_) => (None, None),
        Source::Normed(Normed { weight, bias, eps, .. }) => (Some(eps), Some([weight, bias])),
    };
    let drop = residual.filter(|residual| residual.drop > 0.0);
    let drop = drop.map(|Residual { drop, per_sample, .. }| Dropout { rate: drop, per_sample });
    let inputs = [source.tensor(), weight].into_iter().chain(of_norm.into_iter().flatten());
    let inputs = inputs.chain(bias).chain(residual.map(|residual| residual.to));
    let op = Linear {
        norm,
        activation,
        bias: bias.is_some(),
        residual: residual.is_some(),
        drop,
        packed: false,
    };
    scope.add(name, op, &inputs.collect::<Vec<_>>())
}

/// `activation(source W^T + b)` with parameters `name.weight [outputs, channels]`, `name.bias`.
pub fn linear(
    scope: &mut Scope,
    name: &str,
    source: impl Into<Source>,
    outputs: usize,
    activation: Activation,
) -> Result<TensorId> {
    let source = source.into();
    let mut scope = scope.child(name);
    let channels = scope.channels(source.tensor());
    let parameters = Parameters::new(&mut scope, channels, outputs)?;
    product(&mut scope, "", source, parameters, activation, None)
}

/// `residual + drop(source W^T + b)`, called `name.added`; parameters as for [`linear`].
pub fn linear_onto(
    scope: &mut Scope,
    name: &str,
    source: impl Into<Source>,
    residual: Residual,
) -> Result<TensorId> {
    let source = source.into();
    let mut scope = scope.child(name);
    let (channels, outputs) = (scope.channels(source.tensor()), scope.channels(residual.to));
    let parameters = Parameters::new(&mut scope, channels, outputs)?;
    product(&mut scope, "added", source, parameters, Activation::None, Some(residual))
}

/// 3x3 convolution with "same" padding, parameters `name.weight [outputs, channels, 3, 3]`, `name.bias`.
pub fn conv3x3(scope: &mut Scope, name: &str, inp: TensorId, outputs: usize) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let channels = scope.channels(inp);
    let weight = scope.parameter("weight", [outputs, channels, 3, 3], fan_in(channels * 9))?;
    let bias = scope.parameter("bias", [outputs], Initial::Constant(0.0))?;
    scope.add("", Conv {}, &[inp, weight, bias])
}
