//! Square patches of a picture as rows: `out[b, y, x, (c, i, j)] = image[b, c, y p + i, x p + j]`.
//!
//! `image [B, Ch, S1, S2]`, one plane a channel, `out [B, S1/p, S2/p, Ch p p]`. A patch lies in
//! the order of a convolution's weight `[O, Ch, p, p]`, so the patch projection of Swin (stride
//! equal to the kernel) is a linear layer on `out`.
//!
//! Backward reads nothing: `dimage` is `dout` put back, each element once.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Input: `image`, whose height and width are multiples of `patch`.
#[derive(Clone, Debug)]
pub struct ImagePatches {
    /// Height and width of a patch in pixels.
    pub patch: usize,
}

impl Operation for ImagePatches {
    fn name(&self) -> &'static str {
        "image_patches"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let [image] = inputs else {
            return wrong("image [B, Ch, S1, S2]");
        };
        let &[batch, channels, height, width] = image.shape.extents() else {
            return wrong("image [B, Ch, S1, S2]");
        };
        let patch = self.patch;
        if patch == 0 || height % patch != 0 || width % patch != 0 {
            return wrong(&format!("image [B, Ch, S1, S2] with S1 and S2 multiples of {patch}"));
        }
        let out = [batch, height / patch, width / patch, channels * patch * patch];
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
