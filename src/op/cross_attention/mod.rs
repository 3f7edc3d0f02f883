//! Multi-head cross-attention (eq. 10, second line): `out = softmax(q k^T / sqrt(D)) v`, every
//! head on its own `D = C / heads` columns, queries from one sequence, keys and values from another.
//!
//! `q [B, N, C]` or a map `[B, H, W, C]`, `key_value [B, M, 2C]` (all k, all v; inside each the
//! heads side by side), `mask` index `[B, M]` if masked: keys with 0 are left out exactly; `out`
//! has the shape of `q`. Forward keeps `lse [B, heads, N]`, the logarithm of each query's sum of
//! exponentials.
//!
//! Backward reads the inputs and `lse` and computes the probabilities again:
//! `p = exp(s - lse)`, `dv = p^T dout`, `dp = dout v^T`, `ds = p (dp - sum(p dp))`,
//! `dq = ds k / sqrt(D)`, `dk = ds^T q / sqrt(D)`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::attention::{self, Sizes};
use crate::error::Result;
use crate::shape::Shape;

/// Inputs: `q`, `key_value`, then `mask` if there is one.
#[derive(Clone, Debug)]
pub struct CrossAttention {
    pub heads: usize,
    pub masked: bool,
}

impl CrossAttention {
    fn sizes(&self, q: &Shape, key_value: &Shape) -> Option<Sizes> {
        let &[batch, keys, columns] = key_value.extents() else { return None };
        let sizes = Sizes::new(q, keys, self.heads)?;
        (batch == sizes.batch && columns == 2 * q.channels()).then_some(sizes)
    }
}

impl Operation for CrossAttention {
    fn name(&self) -> &'static str {
        "cross_attention"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        if inputs.len() != 2 + usize::from(self.masked) {
            return wrong("q [B, N, C], key_value [B, M, 2C] and, if masked, mask [B, M]");
        }
        let Some(sizes) = self.sizes(&inputs[0].shape, &inputs[1].shape) else {
            return wrong(
                "q [B, N, C] or [B, H, W, C] with C a multiple of the heads, key_value [B, M, 2C]",
            );
        };
        if self.masked && *inputs[2] != TensorType::index([sizes.batch, sizes.keys]) {
            return wrong("mask: index [B, M]");
        }
        let count = inputs.len();
        Ok(Signature {
            out: TensorType::activation(inputs[0].shape.clone()),
            kept: vec![TensorType::statistic([sizes.batch, sizes.heads, sizes.queries])],
            reads_inputs: vec![true; count],
            reads_out: false,
            differentiable: (0..count).map(|i| i < 2).collect(),
            forward_workspace: attention::forward_workspace(&sizes),
            backward_workspace: attention::backward_workspace(&sizes),
        })
    }
}
