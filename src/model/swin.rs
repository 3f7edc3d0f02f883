//! Image encoder: Swin (Liu et al., 2021) as for dense prediction, with stages called one by one so
//! that words can be fused between them (eq. 1).

use super::config::Config;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::{Initial, TensorId};
use crate::nn::linear::{Parameters, linear_onto, product};
use crate::nn::norm::{Normed, layer_norm};
use crate::nn::scope::fan_in;
use crate::nn::{Residual, Scope, mlp};
use crate::op::image_patches::ImagePatches;
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
        let bias = Some(scope.parameter("bias", [width], Initial::Constant(0.0))?);
        let parameters = Parameters { weight, bias };
        product(&mut scope, "", patches.into(), parameters, Activation::None, None)?
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
    let normed = Normed::new(&mut scope, "norm", merged, EPS)?;
    let (inputs, outputs) = (4 * config.stage_width(stage - 1), config.stage_width(stage));
    let mut scope = scope.child("reduction");
    let weight = scope.parameter("weight", [outputs, inputs], fan_in(inputs))?;
    let parameters = Parameters { weight, bias: None };
    product(&mut scope, "", normed.into(), parameters, Activation::None, None)
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
    let first = Normed::new(scope, "norm1", inp, EPS)?;
    let attended = window_attention(scope, config, stage, first, shift, onto(inp))?;
    let second = Normed::new(scope, "norm2", attended, EPS)?;
    let hidden = config.swin_mlp_ratio * config.stage_width(stage);
    mlp::mlp(scope, second, hidden, Activation::Gelu, onto(attended))
}

fn window_attention(
    scope: &mut Scope,
    config: &Config,
    stage: usize,
    inp: Normed,
    shift: usize,
    residual: Residual,
) -> Result<TensorId> {
    let mut scope = scope.child("attn");
    let channels = scope.channels(inp.inp);
    let (window, heads) = (config.swin_window, config.swin_heads[stage]);
    let offsets = (2 * window - 1) * (2 * window - 1);
    let parameters = Parameters::new(&mut scope.child("qkv"), channels, 3 * channels)?;
    let qkv = product(&mut scope, "qkv", inp.into(), parameters, Activation::None, None)?;
    let small = Initial::TruncatedNormal { std: 0.02 };
    let table = scope.parameter("relative_position_bias.weight", [offsets, heads], small)?;
    let op = WindowAttention { heads, window, shift };
    // The bias is the padded positions' queries, keys and values.
    let inputs: Vec<TensorId> = [qkv].into_iter().chain(parameters.bias).chain([table]).collect();
    let attended = scope.add("heads", op, &inputs)?;
    linear_onto(&mut scope, "proj", attended, residual)
}
