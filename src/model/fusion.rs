//! Vision-language fusion (eq. 2): each place of a stage's map gathers the words that speak of it.

use super::config::Config;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::TensorId;
use crate::nn::Scope;
use crate::nn::linear::linear;
use crate::nn::norm::Normed;
use crate::op::concat::Concat;
use crate::op::cross_attention::CrossAttention;

/// `V_s [B, H, W, C_s]` and words `F_t [B, L, C]` to `F_vs [B, H, W, C_s]`; stages from 0.
pub fn fusion(
    scope: &mut Scope,
    config: &Config,
    stage: usize,
    map: TensorId,
    words: TensorId,
    word_mask: TensorId,
) -> Result<TensorId> {
    let mut scope = scope.child(&format!("fusion.{stage}"));
    let width = config.stage_width(stage);
    let normed = Normed::new(&mut scope, "norm", map, 1e-5)?;
    let query = linear(&mut scope, "query", normed, width, Activation::None)?;
    let key = linear(&mut scope, "key", words, width, Activation::None)?;
    let value = linear(&mut scope, "value", words, width, Activation::None)?;
    let key_value = scope.add("key_value", Concat { axis: 2 }, &[key, value])?;
    let op = CrossAttention { heads: 1, masked: true };
    let gathered = scope.add("gathered", op, &[query, key_value, word_mask])?;
    linear(&mut scope, "out", gathered, width, Activation::None)
}
