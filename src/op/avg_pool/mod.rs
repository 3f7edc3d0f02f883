//! Mean of 2 x 2 pixels: `out[b, y, x] = 1/4 sum over i, j in 0..2 of inp[b, 2y + i, 2x + j]`
//! (`Avg2` of paper eq. 4).
//!
//! `inp [B, H, W, C]`, `out [B, H/2, W/2, C]`.
//!
//! Backward reads nothing: `dinp[b, 2y + i, 2x + j] = dout[b, y, x] / 4`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Input: `inp`, of even height and width.
#[derive(Clone, Debug)]
pub struct AvgPool {}

impl Operation for AvgPool {
    fn name(&self) -> &'static str {
        "avg_pool"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let extents: Vec<&[usize]> = inputs.iter().map(|i| i.shape.extents()).collect();
        let out = match extents[..] {
            [&[batch, height, width, channels]] if height % 2 == 0 && width % 2 == 0 => {
                [batch, height / 2, width / 2, channels]
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
