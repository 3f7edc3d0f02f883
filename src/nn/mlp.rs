//! Two linear layers with an activation between them.

use super::linear::{Residual, Source, linear, linear_onto};
use super::scope::Scope;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::TensorId;

/// `residual + fc2(activation(fc1(inp)))`, parameters `mlp.fc1`, `mlp.fc2`.
pub fn mlp(
    scope: &mut Scope,
    inp: impl Into<Source>,
    hidden: usize,
    activation: Activation,
    residual: Residual,
) -> Result<TensorId> {
    let mut scope = scope.child("mlp");
    let inner = linear(&mut scope, "fc1", inp, hidden, activation)?;
    linear_onto(&mut scope, "fc2", inner, residual)
}
