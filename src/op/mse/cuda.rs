//! Mean squared difference on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::Mse;
use crate::cuda::arguments::Arguments;
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

impl OnCuda for Mse {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let blocks = elementwise::blocks(inputs[0].shape.len(), precision);
        Workspace { forward: blocks * size_of::<f32>(), backward: 0 }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let a = &pass.types[0].shape;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::MseForwardF32,
            Precision::Bf16 => Kernel::MseForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.out)
            .pointer(pass.workspace)
            .pointer(pass.tickets)
            .count(a.rows())
            .count(a.channels())
            .float((1.0 / a.len() as f64) as f32);
        pass.device.launch(kernel, elementwise::elements(a.len(), pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let a = &pass.types[0].shape;
        let ((da, add_a), (db, add_b)) = (pass.gradient(0), pass.gradient(1));
        let kernel = match pass.precision {
            Precision::F32 => Kernel::MseBackwardF32,
            Precision::Bf16 => Kernel::MseBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.dout)
            .pointer(da)
            .pointer(db)
            .count(a.rows())
            .count(a.channels())
            .float((1.0 / a.len() as f64) as f32)
            .count(add_a)
            .count(add_b);
        pass.device.launch(kernel, elementwise::elements(a.len(), pass.precision), &arguments)
    }
}
