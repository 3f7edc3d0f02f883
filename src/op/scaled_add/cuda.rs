//! Sum with a learned scale on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::ScaledAdd;
use crate::cuda::arguments::Arguments;
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

impl OnCuda for ScaledAdd {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([0])
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let blocks = elementwise::blocks(inputs[1].shape.len(), precision);
        Workspace { forward: 0, backward: blocks * size_of::<f32>() }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let a = &pass.types[1].shape;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ScaledAddForwardF32,
            Precision::Bf16 => Kernel::ScaledAddForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].full)
            .pointer(pass.inputs[1].working)
            .pointer(pass.inputs[2].working)
            .pointer(pass.out)
            .count(a.rows())
            .count(a.channels());
        pass.device.launch(kernel, elementwise::elements(a.len(), pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let a = &pass.types[1].shape;
        let [(dalpha, add_alpha), (da, add_a), (db, add_b)] = [0, 1, 2].map(|i| pass.gradient(i));
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ScaledAddBackwardF32,
            Precision::Bf16 => Kernel::ScaledAddBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].full)
            .pointer(pass.inputs[1].working)
            .pointer(pass.dout)
            .pointer(dalpha)
            .pointer(da)
            .pointer(db)
            .pointer(pass.workspace)
            .pointer(pass.tickets)
            .count(a.rows())
            .count(a.channels())
            .count(add_alpha)
            .count(add_a)
            .count(add_b);
        pass.device.launch(kernel, elementwise::elements(a.len(), pass.precision), &arguments)
    }
}
