//! Patch merging on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::PatchMerging;
use crate::cuda::arguments::Arguments;
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Pixels of all maps, columns and channels of the larger maps.
fn sizes(types: &[&TensorType]) -> [usize; 3] {
    let &[batch, height, width, channels] = types[0].shape.extents() else {
        unreachable!("the signature has checked it")
    };
    [batch * height * width, width, channels]
}

impl OnCuda for PatchMerging {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let [pixels, width, channels] = sizes(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::PatchMergingForwardF32,
            Precision::Bf16 => Kernel::PatchMergingForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.out)
            .count(pixels)
            .count(width)
            .count(channels);
        pass.device.launch(kernel, elementwise::rows(pixels * channels, pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let [pixels, width, channels] = sizes(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::PatchMergingBackwardF32,
            Precision::Bf16 => Kernel::PatchMergingBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(dinp.values)
            .count(pixels)
            .count(width)
            .count(channels)
            .count(usize::from(dinp.write.adds()));
        pass.device.launch(kernel, elementwise::rows(pixels * channels, pass.precision), &arguments)
    }
}
