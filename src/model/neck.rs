//! Fusion neck (eq. 3-6): the three fused stages brought to one grid and mixed, with coordinates.

use super::config::Config;
use super::position::coordinates;
use crate::cpu::activation::Activation;
use crate::error::Result;
use crate::graph::TensorId;
use crate::nn::Scope;
use crate::nn::linear::{conv3x3, linear};
use crate::op::avg_pool::AvgPool;
use crate::op::concat::Concat;
use crate::op::resize::Resize;

/// `F_v2, F_v3, F_v4` to `F_v [B, Hv, Wv, C]`.
pub fn neck(scope: &mut Scope, config: &Config, fused: [TensorId; 3]) -> Result<TensorId> {
    let mut scope = scope.child("neck");
    let [f_v2, f_v3, f_v4] = fused;
    let (width, grid, batch) = (config.width, config.grid(), scope.extents(f_v2)[0]);
    let sigma =
        |scope: &mut Scope, name: &str, inp| linear(scope, name, inp, width, Activation::Relu);
    // F_m4 = Up2(sigma(Linear(F_v4)))
    let small = sigma(&mut scope, "v4", f_v4)?;
    let up = Resize { height: grid, width: grid, align_corners: false };
    let f_m4 = scope.add("f_m4", up, &[small])?;
    // F_m3 = [sigma(Linear(F_m4)), sigma(Linear(F_v3))]
    let parts = [sigma(&mut scope, "m4", f_m4)?, sigma(&mut scope, "v3", f_v3)?];
    let f_m3 = scope.add("f_m3", Concat { axis: 3 }, &parts)?;
    // F_m2 = [sigma(Linear(F_m3)), sigma(Linear(Avg2(F_v2)))]
    let pooled = scope.add("pooled", AvgPool {}, &[f_v2])?;
    let f_m2 = [sigma(&mut scope, "m3", f_m3)?, sigma(&mut scope, "v2", pooled)?];
    // F_m = Conv1x1([F_m2, F_m3, F_m4])
    let parts: Vec<TensorId> = f_m2.into_iter().chain([f_m3, f_m4]).collect();
    let all = scope.add("all", Concat { axis: 3 }, &parts)?;
    let f_m = linear(&mut scope, "aggregate", all, width, Activation::None)?;
    // F_v = Conv3x3([F_m, F_coord])
    let places = coordinates(batch, grid);
    let f_coord = scope.constant("f_coord", [batch, grid, grid, 2], places)?;
    let with_places = scope.add("with_places", Concat { axis: 3 }, &[f_m, f_coord])?;
    conv3x3(&mut scope, "coord", with_places, width)
}
