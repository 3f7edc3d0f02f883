//! Image encoder: Swin (Liu et al., 2021) as for dense prediction, with stages called one by one so
//! that words can be fused between them (eq. 1).

use super::config::Config;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::nn::linear::linear_onto;
use crate::nn::norm::layer_norm;
use crate::nn::scope::fan_in;
use crate::nn::{Residual, Scope, mlp};
use crate::op::image_patches::ImagePatches;
use crate::op::linear::Linear;
use crate::op::patch_merging::PatchMerging;
use crate::op::window_attention::WindowAttention;

const EPS: f64 = 1e-5;

/// `image [B, 3, S, S]` to `[B, S/4, S/4, C_1]`: patch projection and its LN.
pub fn patch_embedding(scope: &mut Scope, config: &Config, image: TensorId) -> Result<TensorId> {
    let mut scope = scope.child("visual.patch_embed");
    let (patch, width) = (config.patch_size, config.swin_width);
    let patches = scope.add("patches", ImagePatches { patch }, &[image])?;
    let projected = {
        let mut scope = scope.child("proj");
        let fan = fan_in(3 * patch * patch);
        let weight = scope.parameter("weight", [width, 3, patch, patch], fan)?;
        let bias = scope.parameter("bias", [width], Initial::Constant(0.0))?;
        let op =
            Linear { activation: Activation::None, bias: true, residual: false, packed: false };
        scope.add("", op, &[patches, weight, bias])?
    };
    layer_norm(&mut scope, "norm", projected, EPS)
}

/// Stage `stage` (from 0): patch merging (but for the first), then the blocks.
/// `drop` says whether stochastic depth is on.
pub fn stage(
    scope: &mut Scope,
    config: &Config,
    stage: usize,
    inp: TensorId,
    drop: bool,
) -> Result<TensorId> {
    let mut scope = scope.child(&format!("visual.stages.{stage}"));
    let mut map = if stage == 0 { inp } else { merge(&mut scope, config, stage, inp)? };
    let first: usize = config.swin_depths[..stage].iter().sum();
    let blocks: usize = config.swin_depths.iter().sum();
    for i in 0..config.swin_depths[stage] {
        let share = if blocks > 1 { (first + i) as f64 / (blocks - 1) as f64 } else { 0.0 };
        let rate = if drop { config.drop_path * share } else { 0.0 };
        let grid = scope.extents(map)[1];
        // A grid of at most one window is not shifted.
        let shift =
            if i % 2 == 1 && grid > config.swin_window { config.swin_window / 2 } else { 0 };
        map = block(&mut scope.child(&format!("blocks.{i}")), config, stage, map, shift, rate)?;
    }
    Ok(map)
}

fn merge(scope: &mut Scope, config: &Config, stage: usize, inp: TensorId) -> Result<TensorId> {
    let mut scope = scope.child("merge");
    let merged = scope.add("patches", PatchMerging {}, &[inp])?;
    let normed = layer_norm(&mut scope, "norm", merged, EPS)?;
    let (inputs, outputs) = (4 * config.stage_width(stage - 1), config.stage_width(stage));
    let mut scope = scope.child("reduction");
    let weight = scope.parameter("weight", [outputs, inputs], fan_in(inputs))?;
    let op = Linear { activation: Activation::None, bias: false, residual: false, packed: false };
    scope.add("", op, &[normed, weight])
}

/// `x' = x + attention(LN(x))`, `out = x' + MLP(LN(x'))`.
fn block(
    scope: &mut Scope,
    config: &Config,
    stage: usize,
    inp: TensorId,
    shift: usize,
    drop: f64,
) -> Result<TensorId> {
    let onto = |to| Residual { to, drop, per_sample: true };
    let normed = layer_norm(scope, "norm1", inp, EPS)?;
    let attended = window_attention(scope, config, stage, normed, shift, onto(inp))?;
    let normed = layer_norm(scope, "norm2", attended, EPS)?;
    let hidden = config.swin_mlp_ratio * config.stage_width(stage);
    mlp::mlp(scope, normed, hidden, Activation::Gelu, onto(attended))
}

fn window_attention(
    scope: &mut Scope,
    config: &Config,
    stage: usize,
    inp: TensorId,
    shift: usize,
    residual: Residual,
) -> Result<TensorId> {
    let mut scope = scope.child("attn");
    let channels = scope.channels(inp);
    let (window, heads) = (config.swin_window, config.swin_heads[stage]);
    let offsets = (2 * window - 1) * (2 * window - 1);
    let qkv = linear_with_bias(&mut scope, inp, 3 * channels)?;
    let small = Initial::TruncatedNormal { std: 0.02 };
    let table = scope.parameter("relative_position_bias.weight", [offsets, heads], small)?;
    let op = WindowAttention { heads, window, shift };
    let attended = scope.add("heads", op, &[qkv.out, qkv.bias, table])?;
    linear_onto(&mut scope, "proj", attended, residual)
}

/// A linear layer's output with its bias: the padded positions' queries, keys and values.
struct Projection {
    out: TensorId,
    bias: TensorId,
}

fn linear_with_bias(scope: &mut Scope, inp: TensorId, outputs: usize) -> Result<Projection> {
    let mut scope = scope.child("qkv");
    let channels = scope.channels(inp);
    let weight = scope.parameter("weight", [outputs, channels], fan_in(channels))?;
    let bias = scope.parameter("bias", [outputs], Initial::Constant(0.0))?;
    let op = Linear { activation: Activation::None, bias: true, residual: false, packed: false };
    Ok(Projection { out: scope.add("", op, &[inp, weight, bias])?, bias })
}
