//! Calibration decoder (eq. 10-12): the map attends to itself and to the queries, the queries are
//! recalibrated by the map.

use super::config::Config;
use super::position::{sine_1d, sine_2d};
use super::query::query_generation;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::nn::norm::Normed;
use crate::nn::{Residual, Scope, attention, mlp};
use crate::op::add::Add;
use crate::op::scaled_add::ScaledAdd;

const EPS: f64 = 1e-5;

/// `F_dec^N [B, Hv, Wv, C]`, and `F_q^N [B, Nq, C]` if it was asked for.
pub struct Decoded {
    pub map: TensorId,
    pub queries: Option<TensorId>,
}

/// What the decoder works on.
#[derive(Clone, Copy)]
pub struct Inputs {
    /// `F_t [B, L, C]`
    pub words: TensorId,
    /// index `[B, L]`
    pub word_mask: TensorId,
    /// `F_v [B, Hv, Wv, C]`
    pub map: TensorId,
}

/// `last_queries` says whether `F_q^N` is needed (for the reconstruction); `dropout` whether
/// dropout is on.
pub fn decoder(
    scope: &mut Scope,
    config: &Config,
    inputs: Inputs,
    last_queries: bool,
    dropout: bool,
) -> Result<Decoded> {
    let Inputs { words, word_mask, map } = inputs;
    // F_q^0 = QGM_0(F_t, F_v) + PE1d
    let plain = query_generation(scope, "query", config, words, word_mask, map)?;
    let mut scope = scope.child("decoder");
    let mut queries = with_positions(&mut scope, "query", plain, config.queries, config.width)?;
    // F_t' = F_t + PE1d, used by the calibrations only
    let layers = config.decoder_layers;
    let calibrations = match (config.calibration, last_queries) {
        (false, _) => 0,
        (true, true) => layers,
        (true, false) => layers.saturating_sub(1),
    };
    let placed_words = match calibrations {
        0 => words,
        _ => with_positions(&mut scope, "word", words, config.max_tokens, config.width)?,
    };
    // F_dec^0 = F_v + PE2d
    let (grid, width) = (config.grid(), config.width);
    let encoding = scope.constant("map_positions", [grid, grid, width], sine_2d(grid, width))?;
    let mut decoded = scope.add("placed_map", Add { relu: false }, &[map, encoding])?;
    let drop = if dropout { config.dropout } else { 0.0 };
    for i in 0..layers {
        let mut scope = scope.child(&format!("layers.{i}"));
        decoded = layer(&mut scope, config, decoded, queries, drop)?;
        if i < calibrations {
            queries = calibrate(&mut scope, config, placed_words, word_mask, decoded, queries)?;
        }
    }
    Ok(Decoded { map: decoded, queries: last_queries.then_some(queries) })
}

fn with_positions(
    scope: &mut Scope,
    what: &str,
    tokens: TensorId,
    rows: usize,
    width: usize,
) -> Result<TensorId> {
    let encoding = sine_1d(rows, width);
    let encoding = scope.constant(&format!("{what}_positions"), [rows, width], encoding)?;
    scope.add(&format!("placed_{what}"), Add { relu: false }, &[tokens, encoding])
}

/// Eq. (10)-(11): `F' = MHSA(LN(F)) + F`, `F'' = MHCA(LN(F'), F_q) + F'`, `MLP(LN(F'')) + F''`.
fn layer(
    scope: &mut Scope,
    config: &Config,
    map: TensorId,
    queries: TensorId,
    drop: f64,
) -> Result<TensorId> {
    let onto = |to| Residual { to, drop, per_sample: false };
    let heads = config.decoder_heads;
    let normed = Normed::new(scope, "norm1", map, EPS)?;
    let map = attention::self_attention(scope, "self_attn", normed, None, heads, onto(map))?;
    let normed = Normed::new(scope, "norm2", map, EPS)?;
    let map = attention::cross_attention(scope, "cross_attn", normed, queries, heads, onto(map))?;
    let normed = Normed::new(scope, "norm3", map, EPS)?;
    mlp::mlp(scope, normed, config.decoder_hidden, Activation::Relu, onto(map))
}

/// Eq. (12): `F_q^n = alpha_n QGM_n(F_t', F_dec^n) + F_q^{n-1}`.
fn calibrate(
    scope: &mut Scope,
    config: &Config,
    words: TensorId,
    word_mask: TensorId,
    map: TensorId,
    queries: TensorId,
) -> Result<TensorId> {
    let fresh = query_generation(scope, "calibration", config, words, word_mask, map)?;
    let mut scope = scope.child("calibration");
    let alpha = scope.parameter("alpha", [1], Initial::Constant(1.0))?;
    scope.add("calibrated", ScaledAdd {}, &[alpha, fresh, queries])
}
