//! Layer norm on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::LayerNorm;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::layer_norm::{Backward, backward_workspace, queue_backward};
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Rows of a block: a warp each.
const ROWS: usize = 4;

impl OnCuda for LayerNorm {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([1, 2])
    }

    fn workspace(&self, inputs: &[&TensorType], _: Precision) -> Workspace {
        let inp = &inputs[0].shape;
        Workspace { forward: 0, backward: backward_workspace(inp.rows(), inp.channels()) }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let inp = &pass.types[0].shape;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LayerNormForwardF32,
            Precision::Bf16 => Kernel::LayerNormForwardBf16,
        };
        let kept = |i: usize| pass.kept.get(i).copied().unwrap_or(Pointer::NULL);
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].full)
            .pointer(pass.inputs[2].full)
            .pointer(pass.out)
            .pointer(kept(0))
            .pointer(kept(1))
            .count(inp.rows())
            .count(inp.channels())
            .float(self.eps as f32);
        let layout = Layout::row(inp.rows().div_ceil(ROWS), 32 * ROWS as u32);
        pass.device.launch(kernel, layout, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let inp = &pass.types[0].shape;
        let [dinp, dweight, dbias] =
            [0, 1, 2].map(|i| pass.dinputs[i].map(|d| (d.values, d.write)));
        let pass_of_norm = Backward {
            precision: pass.precision,
            rows: inp.rows(),
            channels: inp.channels(),
            dout: pass.dout,
            inp: pass.inputs[0].working,
            weight: pass.inputs[1].full,
            mean: pass.kept[0],
            rstd: pass.kept[1],
            dinp,
            dweight,
            dbias,
            workspace: pass.workspace,
            tickets: pass.tickets,
        };
        queue_backward(pass.device, &pass_of_norm)
    }
}
