//! Cross-entropy of two classes over the pixels of a mask that is finer than the logits:
//! `out = sum over pixels of w l / sum over pixels of w` (paper eq. 13).
//!
//! `logits [B, H, W, 2]`, `mask [B, S1, S2]` of 0 and 1, `out [1]`. With `z` the bilinear
//! upsampling of the logits to `S1 x S2` with aligned corners, `d = z[1] - z[0]` and the class
//! `y` of a pixel: `w = class_weights[y]`, `l = softplus(-d)` if `y = 1`, else `softplus(d)`,
//! which is `-log softmax(z)[y]`. Upsampling is linear, so `d` is upsampled, not `z`, a row of
//! pixels at a time: the upsampled logits are never in memory.
//!
//! Forward keeps `total = sum of w`. Backward reads it, `logits` and `mask`:
//! `dd = dout w (sigmoid(d) - y) / total` for each pixel; `dlogits[1]` is the transposed upsampling of `dd`, `dlogits[0] = -dlogits[1]`.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Inputs: `logits`, `mask`.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// Weights of a background pixel and of an object pixel, above 0.
    pub class_weights: [f64; 2],
}

impl Operation for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let shapes = "logits [B, H, W, 2] and an index mask [B, S1, S2], none of them empty";
        let extents: Vec<&[usize]> = inputs.iter().map(|i| i.shape.extents()).collect();
        let [logits @ &[batch, _, width, 2], mask @ &[masks, height, _]] = extents[..] else {
            return wrong(shapes);
        };
        let empty = logits.contains(&0) || mask.contains(&0);
        if masks != batch || empty || inputs[1].kind != Kind::Index {
            return wrong(shapes);
        }
        if !self.class_weights.iter().all(|w| w.is_finite() && *w > 0.0) {
            return wrong(&format!("class weights above 0, not {:?}", self.class_weights));
        }
        Ok(Signature {
            out: TensorType::statistic([1]),
            kept: vec![TensorType::statistic([1])],
            reads_inputs: vec![true, true],
            reads_out: false,
            differentiable: vec![true, false],
            forward_workspace: batch * height,
            backward_workspace: batch * height * width,
        })
    }
}
