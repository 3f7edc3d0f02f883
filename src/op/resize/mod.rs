//! Bilinear resizing of a map:
//! `out[b, y, x] = sum over the neighbours r of y and c of x of wy[r] wx[c] inp[b, r, c]`.
//!
//! `inp [B, H, W, C]`, `out [B, height, width, C]`. The source of output `i` of `m` among `n`
//! inputs is `max((i + 1/2) n/m - 1/2, 0)`, or `i (n - 1)/(m - 1)` with aligned corners; its
//! neighbours are the whole number below and the one after, at most `n - 1`, and the weights
//! `1 - f` and `f` with the fraction `f` (`Up2` of paper eq. 3, and the upsampling of the logits).
//!
//! Backward reads nothing: `dinp[b, r, c] = sum over y and x that have r and c as neighbours of
//! wy[r] wx[c] dout[b, y, x]`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Input: `inp`.
#[derive(Clone, Debug)]
pub struct Resize {
    /// Rows of the output.
    pub height: usize,
    /// Columns of the output.
    pub width: usize,
    /// Whether the centres of the corner pixels stay in place, instead of their outer edges.
    pub align_corners: bool,
}

impl Operation for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let [inp] = inputs else {
            return wrong("inp [B, H, W, C]");
        };
        let &[batch, height, width, channels] = inp.shape.extents() else {
            return wrong("inp [B, H, W, C]");
        };
        if [height, width, self.height, self.width].contains(&0) {
            return wrong(&format!("at least one row and column to make {self:?} of"));
        }
        Ok(Signature {
            out: TensorType::activation([batch, self.height, self.width, channels]),
            kept: Vec::new(),
            reads_inputs: vec![false],
            reads_out: false,
            differentiable: vec![true],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
