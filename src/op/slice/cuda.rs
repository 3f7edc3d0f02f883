//! A part of an axis on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::Slice;
use crate::cuda::arguments::Arguments;
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

impl OnCuda for Slice {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let [rows, columns, start, len] = self.sizes(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::SliceForwardF32,
            Precision::Bf16 => Kernel::SliceForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.out)
            .count(rows)
            .count(columns)
            .count(start)
            .count(len);
        pass.device.launch(kernel, elementwise::rows(rows * len, pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let [rows, columns, start, len] = self.sizes(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::SliceBackwardF32,
            Precision::Bf16 => Kernel::SliceBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(dinp.values)
            .count(rows)
            .count(columns)
            .count(start)
            .count(len)
            .count(usize::from(dinp.write.adds()));
        // What is beside the part is written too, if it is set.
        let written = if dinp.write.adds() { len } else { columns };
        pass.device.launch(kernel, elementwise::rows(rows * written, pass.precision), &arguments)
    }
}

impl Slice {
    /// All extents from the axis on as rows: how many, their columns, where the part begins in them, its columns.
    fn sizes(&self, types: &[&TensorType]) -> [usize; 4] {
        let (before, from) = types[0].shape.extents().split_at(self.axis);
        let inner: usize = from[1..].iter().product();
        [before.iter().product(), from[0] * inner, self.start * inner, self.len * inner]
    }
}
