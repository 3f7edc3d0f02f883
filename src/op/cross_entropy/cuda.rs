//! Cross-entropy on a device: one kernel in each direction, whose last blocks add up what the others found.

use arrayvec::ArrayVec;

use super::CrossEntropy;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, TICKETS, Workspace};

/// Columns of pixels of a block, and the most rows it has; the rows lie between two rows of the grid.
const COLUMNS: usize = 512;
const ROWS: usize = 8;
const THREADS: u32 = 128;

/// Extents of the grid of logits and of the mask.
struct Sizes {
    batch: usize,
    grid_height: usize,
    grid_width: usize,
    height: usize,
    width: usize,
}

impl Sizes {
    fn of(types: &[&TensorType]) -> Self {
        let (grid, mask) = (types[0].shape.extents(), types[1].shape.extents());
        let [batch, grid_height, grid_width] = [grid[0], grid[1], grid[2]];
        Self { batch, grid_height, grid_width, height: mask[1], width: mask[2] }
    }

    /// Parts of the rows between two rows of the grid: from the shapes alone, as all that orders a sum.
    fn parts(&self) -> usize {
        let rows = match self.grid_height {
            1 => self.height,
            n => (self.height - 1).div_ceil(n - 1),
        };
        rows.div_ceil(ROWS).max(1)
    }

    fn blocks(&self) -> [usize; 3] {
        [self.width.div_ceil(COLUMNS), self.grid_height * self.parts(), self.batch]
    }

    fn layout(&self) -> Result<Layout> {
        let [columns, rows, items] = self.blocks();
        let positions = |n: usize, m: usize| n.saturating_mul(m) <= u32::MAX as usize;
        let kernels_can = positions(self.grid_width, self.width)
            && positions(self.grid_height, self.height)
            && rows.max(items) <= 65_535;
        if !kernels_can {
            let Self { batch, grid_height, grid_width, height, width } = self;
            return Err(Error::usage(format!(
                "cross_entropy on a device: {batch} items of {grid_height} x {grid_width} logits for \
                 {height} x {width} pixels are too many"
            )));
        }
        let grid = [columns, rows, items].map(|n| n as u32);
        Ok(Layout { grid, block: [THREADS, 1, 1], shared: 0 })
    }

    fn append(&self, arguments: Arguments) -> Arguments {
        let extents = [self.batch, self.grid_height, self.grid_width, self.height, self.width];
        extents.into_iter().fold(arguments, Arguments::count)
    }
}

impl OnCuda for CrossEntropy {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, inputs: &[&TensorType], _: Precision) -> Workspace {
        let sizes = Sizes::of(inputs);
        let blocks: usize = sizes.blocks().iter().product();
        // Forward a loss and a count of each block, backward two rows of the grid.
        Workspace {
            forward: blocks * (size_of::<f32>() + size_of::<u32>()),
            backward: blocks * 2 * sizes.grid_width * size_of::<f32>(),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::CrossEntropyForwardF32,
            Precision::Bf16 => Kernel::CrossEntropyForwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.out)
            .pointer(pass.kept.first().copied().unwrap_or(Pointer::NULL))
            .pointer(pass.workspace)
            .pointer(pass.tickets);
        let [background, object] = self.class_weights.map(|w| w as f32);
        let arguments = sizes.append(arguments).float(background).float(object);
        pass.device.launch(kernel, sizes.layout()?, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dlogits) = pass.dinputs[0] else { return Ok(()) };
        let sizes = Sizes::of(&pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::CrossEntropyBackwardF32,
            Precision::Bf16 => Kernel::CrossEntropyBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.dout)
            .pointer(pass.kept[0])
            .pointer(dlogits.values)
            .pointer(pass.workspace)
            .pointer(pass.tickets);
        let [background, object] = self.class_weights.map(|w| w as f32);
        let arguments = sizes
            .append(arguments)
            .count(sizes.batch.min(TICKETS))
            .float(background)
            .float(object)
            .count(usize::from(dlogits.write.adds()));
        pass.device.launch(kernel, sizes.layout()?, &arguments)
    }
}
