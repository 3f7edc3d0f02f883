//! Softmax-weighted sum on a device, an attention of one head: one kernel forward; backward one for few
//! words, else two.

use arrayvec::ArrayVec;

use super::SoftmaxWeightedSum;
use crate::cuda::arguments::Pointer;
use crate::cuda::attention::{
    Attention, Extents, Gradients, Inputs, Kernels, NarrowKernels, Saved, Table,
};
use crate::cuda::device::Device;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, Operation, TensorType};
use crate::op::device::{
    CudaBackward, CudaForward, CudaGradient, CudaInput, OnCuda, TICKETS, Workspace,
};

static TABLE: Table = Table {
    f32: Kernels {
        forward: Kernel::SoftmaxWeightedSumForwardF32,
        queries: Kernel::SoftmaxWeightedSumBackwardQueriesF32,
        keys: Kernel::SoftmaxWeightedSumBackwardKeysF32,
        few_keys: Kernel::SoftmaxWeightedSumBackwardFewKeysF32,
    },
    bf16: Kernels {
        forward: Kernel::SoftmaxWeightedSumForwardBf16,
        queries: Kernel::SoftmaxWeightedSumBackwardQueriesBf16,
        keys: Kernel::SoftmaxWeightedSumBackwardKeysBf16,
        few_keys: Kernel::SoftmaxWeightedSumBackwardFewKeysBf16,
    },
    narrow: NarrowKernels {
        forward: Kernel::SoftmaxWeightedSumForwardNarrowBf16,
        queries: Kernel::SoftmaxWeightedSumBackwardQueriesNarrowBf16,
        keys: Kernel::SoftmaxWeightedSumBackwardKeysNarrowBf16,
    },
};

impl OnCuda for SoftmaxWeightedSum {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let extents = Self::extents(inputs);
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
        let to = |gradient: CudaGradient| (gradient.values, gradient.write);
        let [q, k, v] = [0, 1, 2].map(|i| pass.dinputs[i].map(to));
        attention.backward(&saved, &Gradients { q, k, v })
    }
}

impl SoftmaxWeightedSum {
    fn attention<'a>(
        &self,
        device: &'a Device,
        precision: Precision,
        types: &[&TensorType],
        inputs: &[CudaInput],
    ) -> Option<Attention<'a>> {
        let extents = Self::extents(types)?;
        let [q, k, v, mask] = [0, 1, 2, 3].map(|i| inputs[i].working);
        let row = extents.head_dim;
        let inputs = Inputs { q, k, v, mask, q_row: row, key_row: row };
        let name = self.name();
        Some(Attention { name, device, precision, table: &TABLE, extents, inputs })
    }

    fn extents(types: &[&TensorType]) -> Option<Extents> {
        let sizes = Self::sizes(&types[0].shape, &types[1].shape)?;
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
