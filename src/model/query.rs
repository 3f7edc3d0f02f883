//! Query generation module (eq. 7-9): each query gathers words, led by what the map shows.

use super::config::Config;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::TensorId;
use crate::nn::Scope;
use crate::nn::linear::{conv3x3, linear};
use crate::op::softmax_weighted_sum::SoftmaxWeightedSum;
use crate::op::transpose::Transpose;

/// `QGM(F_t, F)`: words `[B, L, C]` and map `[B, Hv, Wv, C]` to queries `[B, Nq, C]`.
/// `name` is the module's place in the checkpoint.
pub fn query_generation(
    scope: &mut Scope,
    name: &str,
    config: &Config,
    words: TensorId,
    word_mask: TensorId,
    map: TensorId,
) -> Result<TensorId> {
    let mut scope = scope.child(name);
    let width = config.width;
    // F_c = Conv3x3(F), a map for each query
    let maps = conv3x3(&mut scope, "conv", map, config.queries)?;
    let rows = scope.add("maps", Transpose {}, &[maps])?;
    // U = sigma(Linear(F_c^T)), W = sigma(Linear(F_t)), values = sigma(Linear(F_t))
    let u = linear(&mut scope, "spatial", rows, width, Activation::Relu)?;
    let w = linear(&mut scope, "word", words, width, Activation::Relu)?;
    let values = linear(&mut scope, "value", words, width, Activation::Relu)?;
    // F_q = softmax(U W^T) values
    scope.add("queries", SoftmaxWeightedSum {}, &[u, w, values, word_mask])
}
