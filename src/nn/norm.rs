//! LayerNorm over channels with its two parameters.

use super::scope::Scope;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::op::layer_norm::LayerNorm;

/// Parameters `name.weight`, `name.bias`.
pub fn layer_norm(scope: &mut Scope, name: &str, inp: TensorId, eps: f64) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let channels = scope.channels(inp);
    let weight = scope.parameter("weight", [channels], Initial::Constant(1.0))?;
    let bias = scope.parameter("bias", [channels], Initial::Constant(0.0))?;
    scope.add("", LayerNorm { eps }, &[inp, weight, bias])
}
