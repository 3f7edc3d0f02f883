//! Transposition on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::Transpose;
use crate::cuda::arguments::{Arguments, Layout};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Sides of a block's tile.
const LONG: usize = 256;
const SHORT: usize = 32;

/// Matrices, with the rows and columns of each.
struct Matrices {
    count: usize,
    rows: usize,
    columns: usize,
}

impl Matrices {
    fn of(types: &[&TensorType]) -> Self {
        let (count, shape) = (types[0].shape.extents()[0], &types[0].shape);
        Self { count, rows: shape.rows() / count.max(1), columns: shape.channels() }
    }

    fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, ..self }
    }

    /// Whether tiles are wide rather than high: what takes fewer of them; and the launch.
    fn tiles(&self) -> (bool, Layout) {
        let of = |rows, columns| self.rows.div_ceil(rows) * self.columns.div_ceil(columns);
        let (high, wide) = (of(LONG, SHORT), of(SHORT, LONG));
        (wide < high, Layout::row(self.count * high.min(wide), 256))
    }
}

impl OnCuda for Transpose {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let inp = Matrices::of(&pass.types);
        let (wide, layout) = inp.tiles();
        let kernel = match pass.precision {
            Precision::F32 => Kernel::TransposeForwardF32,
            Precision::Bf16 => Kernel::TransposeForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.out)
            .count(inp.rows)
            .count(inp.columns)
            .count(usize::from(wide));
        pass.device.launch(kernel, layout, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let dout = Matrices::of(&pass.types).transposed();
        let (wide, layout) = dout.tiles();
        let kernel = match pass.precision {
            Precision::F32 => Kernel::TransposeBackwardF32,
            Precision::Bf16 => Kernel::TransposeBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(dinp.values)
            .count(dout.rows)
            .count(dout.columns)
            .count(usize::from(wide))
            .count(usize::from(dinp.write.adds()));
        pass.device.launch(kernel, layout, &arguments)
    }
}
