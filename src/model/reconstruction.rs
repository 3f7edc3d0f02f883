//! Query reconstruction (eq. 13-14): the mean of the final queries should tell what the mean of
//! the words says.

use super::config::Config;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::TensorId;
use crate::nn::Scope;
use crate::nn::linear::linear;
use crate::op::concat::Concat;
use crate::op::masked_mean::MaskedMean;
use crate::op::mse::Mse;

/// The two features `[B, C]` and their distance, a scalar.
pub struct Reconstruction {
    pub from_queries: TensorId,
    pub from_words: TensorId,
    pub loss: TensorId,
}

/// `queries [B, Nq, C]`, `words [B, L, C]`, `global [B, 1, C]`.
pub fn reconstruction(
    scope: &mut Scope,
    config: &Config,
    queries: TensorId,
    words: TensorId,
    global: TensorId,
    word_mask: TensorId,
) -> Result<Reconstruction> {
    let mut scope = scope.child("reconstruction");
    let projected = mlp3(&mut scope, "queries", queries, config.width, Activation::None)?;
    let op = MaskedMean { masked: false };
    let from_queries = scope.add("from_queries", op, &[projected])?;
    let tokens = scope.add("tokens", Concat { axis: 1 }, &[words, global])?;
    let projected = mlp3(&mut scope, "words", tokens, config.width, Activation::Relu)?;
    let op = MaskedMean { masked: true };
    let from_words = scope.add("from_words", op, &[projected, word_mask])?;
    let op = Mse { detach_second: config.detach_words };
    let loss = scope.add("loss", op, &[from_queries, from_words])?;
    Ok(Reconstruction { from_queries, from_words, loss })
}

/// Three linear layers with ReLU between them and `last` after them.
fn mlp3(
    scope: &mut Scope,
    name: &str,
    inp: TensorId,
    width: usize,
    last: Activation,
) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let inner = linear(&mut scope, "0", inp, width, Activation::Relu)?;
    let inner = linear(&mut scope, "1", inner, width, Activation::Relu)?;
    linear(&mut scope, "2", inner, width, last)
}
