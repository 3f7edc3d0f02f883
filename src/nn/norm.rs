//! LayerNorm over channels with its two parameters: as a node of its own, or as the prologue of the
//! linear layer that alone reads it.

use super::scope::Scope;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::op::layer_norm::LayerNorm;

/// A tensor and the norm's parameters. Nothing is computed yet.
#[derive(Clone, Copy, Debug)]
pub struct Normed {
    pub inp: TensorId,
    pub weight: TensorId,
    pub bias: TensorId,
    /// Added to the variance.
    pub eps: f64,
}

impl Normed {
    /// The norm of `inp` with parameters `name.weight`, `name.bias`.
    pub fn new(scope: &mut Scope, name: &str, inp: TensorId, eps: f64) -> Result<Self> {
        let mut scope = scope.child(name);
        let channels = scope.channels(inp);
        let weight = scope.parameter("weight", [channels], Initial::Constant(1.0))?;
        let bias = scope.parameter("bias", [channels], Initial::Constant(0.0))?;
        Ok(Self { inp, weight, bias, eps })
    }
}

/// The norm of `inp` as a node; parameters `name.weight`, `name.bias`.
pub fn layer_norm(scope: &mut Scope, name: &str, inp: TensorId, eps: f64) -> Result<TensorId> {
    let Normed { inp, weight, bias, eps } = Normed::new(scope, name, inp, eps)?;
    scope.child(name).add("", LayerNorm { eps }, &[inp, weight, bias])
}
