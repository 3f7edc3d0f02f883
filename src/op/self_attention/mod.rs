//! Multi-head self-attention (eq. 10, first line): `out = softmax(q k^T / sqrt(D)) v`, every head
//! on its own `D = C / heads` columns.
//!
//! `qkv [B, N, 3C]` or a map `[B, H, W, 3C]` (all q, all k, all v; inside each the heads side by
//! side), `mask` index `[B, N]` if masked: keys with 0 are left out exactly; `out [.., C]`.
//! Forward keeps `lse [B, heads, N]`, the logarithm of each query's sum of exponentials.
//!
//! Backward reads `qkv` and `lse` and computes the probabilities again:
//! `p = exp(s - lse)`, `dv = p^T dout`, `dp = dout v^T`, `ds = p (dp - sum(p dp))`,
//! `dq = ds k / sqrt(D)`, `dk = ds^T q / sqrt(D)`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::attention::{self, Sizes};
use crate::error::Result;
use crate::shape::Shape;

/// Inputs: `qkv`, then `mask` if there is one.
#[derive(Clone, Debug)]
pub struct SelfAttention {
    pub heads: usize,
    pub masked: bool,
}

impl SelfAttention {
    fn sizes(&self, qkv: &Shape) -> Option<Sizes> {
        let keys = qkv.rows() / qkv.extents().first().copied().unwrap_or(0).max(1);
        // Queries, keys and values side by side are three times as many heads.
        let sizes = Sizes::new(qkv, keys, 3 * self.heads)?;
        Some(Sizes { heads: self.heads, ..sizes })
    }
}

impl Operation for SelfAttention {
    fn name(&self) -> &'static str {
        "self_attention"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        if inputs.len() != 1 + usize::from(self.masked) {
            return wrong("qkv [B, N, 3C] and, if masked, mask [B, N]");
        }
        let Some(sizes) = self.sizes(&inputs[0].shape) else {
            return wrong("qkv [B, N, 3C] or [B, H, W, 3C] with C a multiple of the heads");
        };
        if self.masked && *inputs[1] != TensorType::index([sizes.batch, sizes.keys]) {
            return wrong("mask: index [B, N]");
        }
        let out = inputs[0].shape.with_channels(sizes.heads * sizes.head_dim);
        let count = inputs.len();
        Ok(Signature {
            out: TensorType::activation(out),
            kept: vec![TensorType::statistic([sizes.batch, sizes.heads, sizes.queries])],
            reads_inputs: vec![true; count],
            reads_out: false,
            differentiable: (0..count).map(|i| i == 0).collect(),
            forward_workspace: attention::forward_workspace(&sizes),
            backward_workspace: attention::backward_workspace(&sizes),
        })
    }
}
