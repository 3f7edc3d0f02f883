//! Linear and conv layers, and branches that end in a residual addition.

use super::scope::{Scope, fan_in};
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::op::add::Add;
use crate::op::conv::Conv;
use crate::op::dropout::Dropout;
use crate::op::linear::Linear;

/// `activation(inp W^T + b)` with parameters `name.weight [outputs, channels]`, `name.bias`.
pub fn linear(
    scope: &mut Scope,
    name: &str,
    inp: TensorId,
    outputs: usize,
    activation: Activation,
) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let channels = scope.channels(inp);
    let weight = scope.parameter("weight", [outputs, channels], fan_in(channels))?;
    let bias = scope.parameter("bias", [outputs], Initial::Constant(0.0))?;
    let op = Linear { activation, bias: true, residual: false, packed: false };
    scope.add("", op, &[inp, weight, bias])
}

/// What a branch is added to, and the rate at which it is dropped in training.
#[derive(Clone, Copy, Debug)]
pub struct Residual {
    pub to: TensorId,
    pub drop: f64,
    /// One draw for each sample (drop path) instead of one for each element (dropout).
    pub per_sample: bool,
}

/// `residual + drop(inp W^T + b)`; without drop the addition is the product's epilogue.
pub fn linear_onto(
    scope: &mut Scope,
    name: &str,
    inp: TensorId,
    residual: Residual,
) -> Result<TensorId> {
    let outputs = scope.channels(residual.to);
    if residual.drop > 0.0 {
        let branch = linear(scope, name, inp, outputs, Activation::None)?;
        let mut scope = scope.child(name);
        let op = Dropout { rate: residual.drop, per_sample: residual.per_sample };
        let dropped = scope.add("dropped", op, &[branch])?;
        return scope.add("added", Add { relu: false }, &[residual.to, dropped]);
    }
    let mut scope = scope.child(name);
    let channels = scope.channels(inp);
    let weight = scope.parameter("weight", [outputs, channels], fan_in(channels))?;
    let bias = scope.parameter("bias", [outputs], Initial::Constant(0.0))?;
    let op = Linear { activation: Activation::None, bias: true, residual: true, packed: false };
    scope.add("added", op, &[inp, weight, bias, residual.to])
}

/// 3x3 convolution with "same" padding, parameters `name.weight [outputs, channels, 3, 3]`, `name.bias`.
pub fn conv3x3(scope: &mut Scope, name: &str, inp: TensorId, outputs: usize) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let channels = scope.channels(inp);
    let weight = scope.parameter("weight", [outputs, channels, 3, 3], fan_in(channels * 9))?;
    let bias = scope.parameter("bias", [outputs], Initial::Constant(0.0))?;
    scope.add("", Conv {}, &[inp, weight, bias])
}
