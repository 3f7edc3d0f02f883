//! Shifted-window attention of a Swin block:
//! `out = softmax(q k^T / sqrt(D) + table[query - key]) v` within windows of `w x w` positions.
//!
//! `qkv [B, H, W, 3C]` (all q, all k, all v; inside each the heads side by side, `D = C / heads`
//! wide), `qkv_bias [3C]`, `table [(2w-1)^2, heads]`, `out [B, H, W, C]`.
//! The map is padded at the bottom and right to multiples of `w` with positions whose q, k and v
//! are `qkv_bias` (what a row of zeros gives), rolled by `(-shift, -shift)` and cut into windows.
//! A score between positions that lie `(dy, dx)` apart takes row `(dy + w - 1)(2w - 1) + dx + w - 1`
//! of the table. Positions of different regions of the rolled map do not see each other: a region
//! is where the map's last window is cut at the seam of the roll, in rows and in columns.
//!
//! So a window falls into at most four rectangles, each an attention of its own, and neither the
//! padded nor the rolled map is ever written (`regions`). Forward keeps `lse [B, heads, H, W]`,
//! the logarithm of each query's sum of exponentials.
//!
//! Backward reads the inputs and `lse` and computes the probabilities again: `p = exp(s - lse)`,
//! `dv = p^T dout`, `dp = dout v^T`, `ds = p (dp - sum(p dp))`, `dq = ds k / sqrt(D)`,
//! `dk = ds^T q / sqrt(D)`, `dtable` = the sums of `ds` over the pairs of each displacement;
//! `dqkv_bias` gets the `dk` and `dv` of padded positions only, which as queries are cropped away.

mod backward;
mod cpu;
mod cuda;
mod problem;
mod regions;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::error::Result;
use problem::Problem;

/// Inputs: `qkv`, `qkv_bias`, `table`.
#[derive(Clone, Debug)]
pub struct WindowAttention {
    pub heads: usize,
    /// Rows and columns of a window.
    pub window: usize,
    /// By how much the map is rolled, less than `window`; 0 for a block that is not shifted.
    pub shift: usize,
}

impl Operation for WindowAttention {
    fn name(&self) -> &'static str {
        "window_attention"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        if inputs.len() != 3 {
            return wrong("qkv [B, H, W, 3C], qkv_bias [3C] and table [(2w-1)^2, heads]");
        }
        if self.shift >= self.window {
            return wrong("a window of at least one position and a shift smaller than it");
        }
        let Some(problem) = Problem::new(self, &inputs[0].shape) else {
            return wrong("qkv [B, H, W, 3C] with C a multiple of the heads");
        };
        if inputs[1].shape.extents() != [3 * problem.channels()] {
            return wrong("qkv_bias [3C]");
        }
        if inputs[2].shape.extents() != [problem.displacements(), self.heads] {
            return wrong("table [(2w-1)^2, heads]");
        }
        let Problem { batch, heads, height, width, .. } = problem;
        Ok(Signature {
            out: TensorType::activation([batch, height, width, problem.channels()]),
            kept: vec![TensorType::statistic([batch, heads, height, width])],
            reads_inputs: vec![true; 3],
            reads_out: false,
            differentiable: vec![true; 3],
            forward_workspace: 0,
            backward_workspace: problem.task_count() * problem.partial_len(),
        })
    }
}
