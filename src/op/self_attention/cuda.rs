//! Self-attention on a device: one kernel forward; backward one for few tokens, else two.

use arrayvec::ArrayVec;

use super::SelfAttention;
use crate::cuda::arguments::Pointer;
use crate::cuda::attention::{
    Attention, Extents, Gradients, Inputs, Kernels, NarrowKernels, Saved, Table,
};
use crate::cuda::device::Device;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, Operation, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaInput, OnCuda, TICKETS, Workspace};

static TABLE: Table = Table {
    f32: Kernels {
        forward: Kernel::SelfAttentionForwardF32,
        queries: Kernel::SelfAttentionBackwardQueriesF32,
        keys: Kernel::SelfAttentionBackwardKeysF32,
        few_keys: Kernel::SelfAttentionBackwardFewKeysF32,
    },
    bf16: Kernels {
        forward: Kernel::SelfAttentionForwardBf16,
        queries: Kernel::SelfAttentionBackwardQueriesBf16,
        keys: Kernel::SelfAttentionBackwardKeysBf16,
        few_keys: Kernel::SelfAttentionBackwardFewKeysBf16,
    },
    narrow: NarrowKernels {
        forward: Kernel::SelfAttentionForwardNarrowBf16,
        queries: Kernel::SelfAttentionBackwardQueriesNarrowBf16,
        keys: Kernel::SelfAttentionBackwardKeysNarrowBf16,
    },
};

impl OnCuda for SelfAttention {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let extents = self.extents(inputs);
        Workspace { forward: 0, backward: extents.map_or(0, |e| e.backward_workspace(precision)) }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let attention = self.attention(pass.device, pass.precision, &pass.types, &pass.inputs);
        let lse = pass.kept.first().copied().unwrap_or(Pointer::NULL);
        attention.map_or(Ok(()), |attention| attention.forward(pass.out, lse))
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let attention = self.attention(pass.device, pass.precision, &pass.types, &pass.inputs);
        let Some(attention) = attention else { return Ok(()) };
        let saved = Saved {
            dout: pass.dout,
            lse: pass.kept[0],
            workspace: pass.workspace,
            tickets: pass.tickets,
            ticket_count: TICKETS,
        };
        let Some(dqkv) = pass.dinputs[0] else { return Ok(()) };
        let parts = parts(dqkv.values, &attention.extents, pass.precision);
        let [q, k, v] = parts.map(|values| Some((values, dqkv.write)));
        attention.backward(&saved, &Gradients { q, k, v })
    }
}

impl SelfAttention {
    fn attention<'a>(
        &self,
        device: &'a Device,
        precision: Precision,
        types: &[&TensorType],
        inputs: &[CudaInput],
    ) -> Option<Attention<'a>> {
        let extents = self.extents(types)?;
        let [q, k, v] = parts(inputs[0].working, &extents, precision);
        let row = 3 * extents.heads * extents.head_dim;
        let mask = if self.masked { inputs[1].working } else { Pointer::NULL };
        let inputs = Inputs { q, k, v, mask, q_row: row, key_row: row };
        let name = self.name();
        Some(Attention { name, device, precision, table: &TABLE, extents, inputs })
    }

    fn extents(&self, types: &[&TensorType]) -> Option<Extents> {
        let sizes = self.sizes(&types[0].shape)?;
        Some(Extents {
            batch: sizes.batch,
            heads: sizes.heads,
            head_dim: sizes.head_dim,
            queries: sizes.queries,
            keys: sizes.keys,
            scale: sizes.scale,
        })
    }
}

/// Where q, k and v begin in rows of all three.
fn parts(qkv: Pointer, extents: &Extents, precision: Precision) -> [Pointer; 3] {
    let channels = extents.heads * extents.head_dim;
    [0, 1, 2].map(|i| qkv.offset(i * channels * precision.bytes()))
}
