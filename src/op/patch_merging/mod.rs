//! Neighbours of a map side by side:
//! `out[b, y, x] = [inp[b, 2y, 2x], inp[b, 2y+1, 2x], inp[b, 2y, 2x+1], inp[b, 2y+1, 2x+1]]`.
//!
//! `inp [B, H, W, C]`, `out [B, H/2, W/2, 4C]`: the regrouping before the norm and the linear
//! layer of Swin's patch merging.
//!
//! Backward reads nothing: `dinp` is `dout` put back, each element once.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Input: `inp`, of even height and width.
#[derive(Clone, Debug)]
pub struct PatchMerging {}

impl Operation for PatchMerging {
    fn name(&self) -> &'static str {
        "patch_merging"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let extents: Vec<&[usize]> = inputs.iter().map(|i| i.shape.extents()).collect();
        let out = match extents[..] {
            [&[batch, height, width, channels]] if height % 2 == 0 && width % 2 == 0 => {
                [batch, height / 2, width / 2, 4 * channels]
            }
            _ => return Err(mismatch(self.name(), "inp [B, H, W, C] with even H and W", inputs)),
        };
        Ok(Signature {
            out: TensorType::activation(out),
            kept: Vec::new(),
            reads_inputs: vec![false],
            reads_out: false,
            differentiable: vec![true],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
