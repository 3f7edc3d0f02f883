//! Concatenation on a device: one kernel in each direction moves all parts.

use arrayvec::ArrayVec;

use super::Concat;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Where the parts lie; null for what is not there.
type Parts = [Pointer; MAX_INPUTS];

/// Inputs as matrices: all extents from the axis on are columns.
struct Sizes {
    rows: usize,
    /// Of each part; 0 for those that are not there.
    columns: [usize; MAX_INPUTS],
}

impl Sizes {
    fn of(concat: &Concat, types: &[&TensorType]) -> Self {
        let columns = |extents: &[usize]| extents[concat.axis..].iter().product();
        Self {
            rows: types[0].shape.extents()[..concat.axis].iter().product(),
            columns: std::array::from_fn(|i| {
                types.get(i).map_or(0, |t| columns(t.shape.extents()))
            }),
        }
    }

    /// Blocks for all parts that have an address.
    fn layout(&self, parts: &Parts, precision: Precision) -> Layout {
        let there = self.columns.iter().zip(parts).filter(|&(_, &part)| part != Pointer::NULL);
        let blocks =
            there.map(|(columns, _)| elementwise::blocks_of_rows(self.rows * columns, precision));
        Layout::row(blocks.sum(), 256)
    }

    fn arguments(&self, arguments: Arguments, parts: &Parts) -> Arguments {
        let arguments = parts.iter().fold(arguments, |to, &part| to.pointer(part));
        self.columns.iter().fold(arguments, |to, &columns| to.count(columns))
    }
}

impl OnCuda for Concat {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let sizes = Sizes::of(self, &pass.types);
        let parts: Parts = std::array::from_fn(|i| {
            pass.inputs.get(i).map_or(Pointer::NULL, |input| input.working)
        });
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ConcatForwardF32,
            Precision::Bf16 => Kernel::ConcatForwardBf16,
        };
        let arguments =
            sizes.arguments(Arguments::new(), &parts).pointer(pass.out).count(sizes.rows);
        pass.device.launch(kernel, sizes.layout(&parts, pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let mut parts: Parts = std::array::from_fn(|i| pass.gradient(i).0);
        let adds = (0..MAX_INPUTS).map(|i| pass.gradient(i).1 << i).sum();
        // A tensor that is joined twice has two parts in one gradient: they take a launch each, in their order.
        while parts.iter().any(|&part| part != Pointer::NULL) {
            let first = |i: usize| !parts[..i].contains(&parts[i]);
            let now = std::array::from_fn(|i| if first(i) { parts[i] } else { Pointer::NULL });
            self.distribute(pass, &now, adds)?;
            parts = std::array::from_fn(|i| if first(i) { Pointer::NULL } else { parts[i] });
        }
        Ok(())
    }
}

impl Concat {
    /// Moves parts of `dout` to different gradients.
    fn distribute(&self, pass: &CudaBackward<'_>, parts: &Parts, adds: usize) -> Result<()> {
        let sizes = Sizes::of(self, &pass.types);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ConcatBackwardF32,
            Precision::Bf16 => Kernel::ConcatBackwardBf16,
        };
        let arguments = sizes.arguments(Arguments::new().pointer(pass.dout), parts);
        let arguments = arguments.count(sizes.rows).count(adds);
        pass.device.launch(kernel, sizes.layout(parts, pass.precision), &arguments)
    }
}
