//! Multi-head attention with its projections.

use super::linear::{Residual, Source, linear, linear_onto};
use super::scope::Scope;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::TensorId;
use crate::op::cross_attention::CrossAttention;
use crate::op::self_attention::SelfAttention;

/// `residual + proj(attention(qkv(inp)))`; masked words of `mask` are no keys. Parameters
/// `name.qkv`, `name.proj`.
pub fn self_attention(
    scope: &mut Scope,
    name: &str,
    inp: impl Into<Source>,
    mask: Option<TensorId>,
    heads: usize,
    residual: Residual,
) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let channels = scope.channels(residual.to);
    let qkv = linear(&mut scope, "qkv", inp, 3 * channels, Activation::None)?;
    let inputs: Vec<TensorId> = [qkv].into_iter().chain(mask).collect();
    let heads = scope.add("heads", SelfAttention { heads, masked: mask.is_some() }, &inputs)?;
    linear_onto(&mut scope, "proj", heads, residual)
}

/// `residual + proj(attention(query(inp), key_value(context)))`. Parameters `name.query`,
/// `name.key_value`, `name.proj`.
pub fn cross_attention(
    scope: &mut Scope,
    name: &str,
    inp: impl Into<Source>,
    context: TensorId,
    heads: usize,
    residual: Residual,
) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let channels = scope.channels(residual.to);
    let query = linear(&mut scope, "query", inp, channels, Activation::None)?;
    let key_value = linear(&mut scope, "key_value", context, 2 * channels, Activation::None)?;
    let op = CrossAttention { heads, masked: false };
    let heads = scope.add("heads", op, &[query, key_value])?;
    linear_onto(&mut scope, "proj", heads, residual)
}
