//! Mean over the rows that count on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::MaskedMean;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Columns of a block.
const COLUMNS: usize = 128;

/// Rows of a sample, how many of them have a mask, and columns; and the launch.
fn sizes(types: &[&TensorType]) -> ([usize; 3], Layout) {
    let &[samples, rows, columns] = types[0].shape.extents() else {
        unreachable!("the signature has checked it")
    };
    let masked = types.get(1).map_or(0, |mask| mask.shape.channels());
    ([rows, masked, columns], Layout::row(samples * columns.div_ceil(COLUMNS), 256))
}

impl OnCuda for MaskedMean {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let ([rows, masked, columns], layout) = sizes(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::MaskedMeanForwardF32,
            Precision::Bf16 => Kernel::MaskedMeanForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs.get(1).map_or(Pointer::NULL, |mask| mask.working))
            .pointer(pass.out)
            .count(rows)
            .count(masked)
            .count(columns);
        pass.device.launch(kernel, layout, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let ([rows, masked, columns], layout) = sizes(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::MaskedMeanBackwardF32,
            Precision::Bf16 => Kernel::MaskedMeanBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(pass.inputs.get(1).map_or(Pointer::NULL, |mask| mask.working))
            .pointer(dinp.values)
            .count(rows)
            .count(masked)
            .count(columns)
            .count(usize::from(dinp.write.adds()));
        pass.device.launch(kernel, layout, &arguments)
    }
}
