//! Cross-attention on a device: one kernel forward; backward one for few keys, else two.

use arrayvec::ArrayVec;

use super::CrossAttention;
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
        forward: Kernel::CrossAttentionForwardF32,
        queries: Kernel::CrossAttentionBackwardQueriesF32,
        keys: Kernel::CrossAttentionBackwardKeysF32,
        few_keys: Kernel::CrossAttentionBackwardFewKeysF32,
    },
    bf16: Kernels {
        forward: Kernel::CrossAttentionForwardBf16,
        queries: Kernel::CrossAttentionBackwardQueriesBf16,
        keys: Kernel::CrossAttentionBackwardKeysBf16,
        few_keys: Kernel::CrossAttentionBackwardFewKeysBf16,
    },
    narrow: NarrowKernels {
        forward: Kernel::CrossAttentionForwardNarrowBf16,
        queries: Kernel::CrossAttentionBackwardQueriesNarrowBf16,
        keys: Kernel::CrossAttentionBackwardKeysNarrowBf16,
    },
};

impl OnCuda for CrossAttention {
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
        let q = pass.dinputs[0].map(|dq| (dq.values, dq.write));
        let key_value = pass.dinputs[1].map(|gradient| {
            let parts = parts(gradient.values, &attention.extents, pass.precision);
            parts.map(|values| (values, gradient.write))
        });
        let (k, v) = (key_value.map(|[k, _]| k), key_value.map(|[_, v]| v));
        attention.backward(&saved, &Gradients { q, k, v })
    }
}

impl CrossAttention {
    fn attention<'a>(
        &self,
        device: &'a Device,
        precision: Precision,
        types: &[&TensorType],
        inputs: &[CudaInput],
    ) -> Option<Attention<'a>> {
        let extents = self.extents(types)?;
        let [k, v] = parts(inputs[1].working, &extents, precision);
        let channels = extents.heads * extents.head_dim;
        let mask = if self.masked { inputs[2].working } else { Pointer::NULL };
        let (q, q_row, key_row) = (inputs[0].working, channels, 2 * channels);
        let inputs = Inputs { q, k, v, mask, q_row, key_row };
        let name = self.name();
        Some(Attention { name, device, precision, table: &TABLE, extents, inputs })
    }

    fn extents(&self, types: &[&TensorType]) -> Option<Extents> {
        let sizes = self.sizes(&types[0].shape, &types[1].shape)?;
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

/// Where k and v begin in rows of both.
fn parts(key_value: Pointer, extents: &Extents, precision: Precision) -> [Pointer; 2] {
    let channels = extents.heads * extents.head_dim;
    [key_value, key_value.offset(channels * precision.bytes())]
}
