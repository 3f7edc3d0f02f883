//! Text encoder: BERT, post-LN, last hidden state only (`bert-base-uncased` at the paper's sizes).

use super::config::Config;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::nn::linear::linear;
use crate::nn::norm::layer_norm;
use crate::nn::{Residual, Scope, attention, mlp};
use crate::op::embedding::Embedding;
use crate::op::slice::Slice;

const EPS: f64 = 1e-12;

/// Word features `F_t [B, L, C]`, and the global one's input `T [B, L, 768]`.
pub struct Text {
    pub hidden: TensorId,
    pub words: TensorId,
}

/// `tokens`, `word_mask`: index `[B, L]`.
pub fn text(
    scope: &mut Scope,
    config: &Config,
    tokens: TensorId,
    word_mask: TensorId,
) -> Result<Text> {
    let mut scope = scope.child("text");
    let mut hidden = embeddings(&mut scope, config, tokens)?;
    for i in 0..config.text_layers {
        hidden = layer(&mut scope.child(&format!("layers.{i}")), config, hidden, word_mask)?;
    }
    let words = linear(&mut scope, "proj", hidden, config.width, Activation::None)?;
    Ok(Text { hidden, words })
}

/// `F_tg = Linear(T[:, 0])` `[B, 1, C]`.
pub fn global_feature(scope: &mut Scope, config: &Config, hidden: TensorId) -> Result<TensorId> {
    let mut scope = scope.child("text");
    let first = scope.add("first", Slice { axis: 1, start: 0, len: 1 }, &[hidden])?;
    linear(&mut scope, "global_proj", first, config.width, Activation::None)
}

fn embeddings(scope: &mut Scope, config: &Config, tokens: TensorId) -> Result<TensorId> {
    let mut scope = scope.child("embeddings");
    let width = config.text_width;
    let mut table = |name: &str, rows: usize| {
        let normal = Initial::Normal { std: 0.02 };
        scope.child(name).parameter("weight", [rows, width], normal)
    };
    let word = table("word", config.vocab_size)?;
    let position = table("position", config.text_positions)?;
    let token_type = table("token_type", config.text_types)?;
    let sum = scope.add("sum", Embedding {}, &[tokens, word, position, token_type])?;
    layer_norm(&mut scope, "norm", sum, EPS)
}

fn layer(
    scope: &mut Scope,
    config: &Config,
    inp: TensorId,
    word_mask: TensorId,
) -> Result<TensorId> {
    let onto = |to| Residual { to, drop: 0.0, per_sample: false };
    let heads = config.text_heads;
    let sum = attention::self_attention(scope, "attn", inp, Some(word_mask), heads, onto(inp))?;
    let attended = layer_norm(scope, "attn_norm", sum, EPS)?;
    let hidden = config.text_hidden;
    let sum = mlp::mlp(scope, attended, hidden, Activation::Gelu, onto(attended))?;
    layer_norm(scope, "mlp_norm", sum, EPS)
}
