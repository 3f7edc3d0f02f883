//! Mean over the rows that count (eq. 13 and 14): `out[b] = sum of the counted inp[b, n] / count[b]`.
//!
//! `inp [B, N, C]`, `mask [B, M]` with `M <= N` (indices, 1 or 0), `out [B, C]`. Row `n < M` counts
//! if its mask is 1, rows from `M` on always; without a mask all rows count. If none does, `out[b]`
//! is 0.
//!
//! Backward: `dinp[b, n] = dout[b] / count[b]` where the row counts, else 0. The mask is read.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::error::Result;

/// Inputs: `inp`, then `mask` if there is one.
#[derive(Clone, Debug)]
pub struct MaskedMean {
    pub masked: bool,
}

impl Operation for MaskedMean {
    fn name(&self) -> &'static str {
        "masked_mean"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let count = 1 + usize::from(self.masked);
        if inputs.len() != count || inputs[0].kind != Kind::Activation {
            return wrong(if self.masked { "inp [B, N, C] and mask" } else { "inp [B, N, C]" });
        }
        let &[batch, rows, channels] = inputs[0].shape.extents() else {
            return wrong("inp [B, N, C]");
        };
        if let Some(mask) = inputs.get(1) {
            let fits = matches!(*mask.shape.extents(), [b, m] if b == batch && m <= rows);
            if !fits || mask.kind != Kind::Index {
                return wrong("an index mask [B, M] with M <= N beside inp [B, N, C]");
            }
        }
        Ok(Signature {
            out: TensorType::activation([batch, channels]),
            kept: Vec::new(),
            reads_inputs: vec![false, true][..count].to_vec(),
            reads_out: false,
            differentiable: vec![true, false][..count].to_vec(),
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
