//! Sum of two tensors on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::Add;
use crate::cuda::arguments::{Arguments, Pointer};
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// How often `b` is repeated, and its rows and columns.
fn extents(types: &[&TensorType]) -> [usize; 3] {
    let (a, b) = (&types[0].shape, &types[1].shape);
    [a.len() / b.len().max(1), b.rows(), b.channels()]
}

impl OnCuda for Add {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let [samples, rows, columns] = extents(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::AddForwardF32,
            Precision::Bf16 => Kernel::AddForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.out)
            .count(samples)
            .count(rows)
            .count(columns)
            .count(usize::from(self.relu));
        pass.device.launch(
            kernel,
            elementwise::elements(rows * columns, pass.precision),
            &arguments,
        )
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let [samples, rows, columns] = extents(&pass.types);
        let ((da, add_a), (db, add_b)) = (pass.gradient(0), pass.gradient(1));
        let kernel = match pass.precision {
            Precision::F32 => Kernel::AddBackwardF32,
            Precision::Bf16 => Kernel::AddBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(if self.relu { pass.inputs[1].working } else { Pointer::NULL })
            .pointer(da)
            .pointer(db)
            .count(samples)
            .count(rows)
            .count(columns)
            .count(usize::from(self.relu))
            .count(add_a)
            .count(add_b);
        pass.device.launch(
            kernel,
            elementwise::elements(rows * columns, pass.precision),
            &arguments,
        )
    }
}
