//! Linear layer on a device: one product forward; backward the epilogue's derivative, then the products for
//! input and weight. Weights are read in the session's precision, biases in f32.

use arrayvec::ArrayVec;

use super::Linear;
use crate::cpu::activation::Activation;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Rows and columns of a block's tile of a product, and of the smaller one for small products.
const TILE: usize = 128;
const SMALL_TILE: usize = 64;
/// Tiles below which a product takes the smaller ones: about one for each multiprocessor.
const FEW_TILES: usize = 128;
/// Columns of a block of the epilogue's sums, and rows of a chunk of them.
const COLUMNS: usize = 128;
const CHUNK: usize = 64;
const MOST_CHUNKS: usize = 256;
/// Rows of a part of the weight gradient's sum, and blocks that are enough for a device.
const PART: usize = 512;
const ENOUGH_BLOCKS: usize = 256;

/// Extents of the product, and how its sums are parted: from the shapes alone, so that the order of
/// every sum is the same on every device.
struct Sizes {
    rows: usize,
    inputs: usize,
    outputs: usize,
}

impl Sizes {
    fn of(types: &[&TensorType]) -> Self {
        let (inp, weight) = (&types[0].shape, &types[1].shape);
        Self { rows: inp.rows(), inputs: inp.channels(), outputs: weight.extents()[0] }
    }

    fn chunks(&self) -> usize {
        self.rows.div_ceil(CHUNK).clamp(1, MOST_CHUNKS)
    }

    /// Parts of the rows whose shares of the weight's gradient are summed apart.
    fn parts(&self) -> usize {
        let tiles = self.inputs.div_ceil(TILE) * self.outputs.div_ceil(TILE);
        self.rows.div_ceil(PART).min(ENOUGH_BLOCKS.div_ceil(tiles)).max(1)
    }

    /// Bytes of backward's scratch memory: dpre, the chunks' sums of the bias, the parts of the weight.
    fn scratch(&self, linear: &Linear, precision: Precision) -> [usize; 3] {
        let differentiates = linear.activation != Activation::None;
        let parts = if self.parts() > 1 { self.parts() } else { 0 };
        let sums = if linear.bias { self.chunks() * self.outputs } else { 0 };
        [
            if differentiates { self.rows * self.outputs * precision.bytes() } else { 0 },
            sums * size_of::<f32>(),
            parts * self.outputs * self.inputs * size_of::<f32>(),
        ]
        .map(|bytes| bytes.next_multiple_of(256))
    }
}

/// Whether a product [rows, columns] takes the smaller tiles; f32 has one size only.
fn is_small(precision: Precision, rows: usize, columns: usize) -> bool {
    precision == Precision::Bf16 && rows.div_ceil(TILE) * columns.div_ceil(TILE) < FEW_TILES
}

fn tiles(rows: usize, columns: usize, parts: usize, small: bool) -> Layout {
    let (tile, threads) = if small { (SMALL_TILE, 128) } else { (TILE, 256) };
    let grid = [columns.div_ceil(tile), rows.div_ceil(tile), parts].map(|n| n as u32);
    Layout { grid, block: [threads, 1, 1], shared: 0 }
}

/// As the kernels number them.
fn number(activation: Activation) -> usize {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Gelu => 2,
    }
}

impl OnCuda for Linear {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        std::iter::once(1).chain(self.bias_input()).collect()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let scratch = Sizes::of(inputs).scratch(self, precision);
        Workspace { forward: 0, backward: scratch.iter().sum() }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        if self.packed {
            return Err(Error::usage("linear: weights are packed on the CPU only"));
        }
        let Sizes { rows, inputs, outputs } = Sizes::of(&pass.types);
        let small = is_small(pass.precision, rows, outputs);
        let kernel = match (pass.precision, small) {
            (Precision::F32, _) => Kernel::LinearForwardF32,
            (Precision::Bf16, false) => Kernel::LinearForwardBf16,
            (Precision::Bf16, true) => Kernel::LinearForwardSmallBf16,
        };
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(self.bias_input().map_or(Pointer::NULL, |i| pass.inputs[i].full))
            .pointer(self.residual_input().map_or(Pointer::NULL, |i| pass.inputs[i].working))
            .pointer(pass.out)
            .pointer(pass.kept.first().copied().unwrap_or(Pointer::NULL))
            .count(rows)
            .count(outputs)
            .count(inputs)
            .count(number(self.activation));
        pass.device.launch(kernel, tiles(rows, outputs, 1, small), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types);
        let [dpre, bias, _] = sizes.scratch(self, pass.precision);
        let (partial, parts) = (pass.workspace.offset(dpre), pass.workspace.offset(dpre + bias));
        let dpre = match self.activation {
            Activation::None => pass.dout,
            _ => pass.workspace,
        };
        self.backward_epilogue(pass, &sizes, dpre, partial)?;
        self.backward_input(pass, &sizes, dpre)?;
        self.backward_weight(pass, &sizes, dpre, parts)
    }
}

impl Linear {
    /// dpre, the residual's gradient, and the bias's.
    fn backward_epilogue(
        &self,
        pass: &CudaBackward<'_>,
        sizes: &Sizes,
        dpre: Pointer,
        partial: Pointer,
    ) -> Result<()> {
        let wanted = |input: Option<usize>| input.and_then(|i| pass.dinputs[i]);
        let (dbias, dresidual) = (wanted(self.bias_input()), wanted(self.residual_input()));
        if self.activation == Activation::None && dbias.is_none() && dresidual.is_none() {
            return Ok(());
        }
        let (saved, written) = match self.activation {
            Activation::None => (Pointer::NULL, Pointer::NULL),
            Activation::Relu => (pass.out, dpre),
            Activation::Gelu => (pass.kept[0], dpre),
        };
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LinearBackwardEpilogueF32,
            Precision::Bf16 => Kernel::LinearBackwardEpilogueBf16,
        };
        let (chunks, outputs) = (sizes.chunks(), sizes.outputs);
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(saved)
            .pointer(written)
            .pointer(dresidual.map_or(Pointer::NULL, |d| d.values))
            .pointer(if dbias.is_some() { partial } else { Pointer::NULL })
            .count(sizes.rows)
            .count(outputs)
            .count(number(self.activation))
            .count(usize::from(dresidual.is_some_and(|d| d.write.adds())));
        let grid = [outputs.div_ceil(COLUMNS) as u32, chunks as u32, 1];
        pass.device.launch(kernel, Layout { grid, block: [256, 1, 1], shared: 0 }, &arguments)?;
        let Some(dbias) = dbias else { return Ok(()) };
        let arguments = Arguments::new()
            .pointer(partial)
            .pointer(dbias.values)
            .count(chunks)
            .count(outputs)
            .count(usize::from(dbias.write.adds()));
        let layout = Layout::row(outputs.div_ceil(32), 256);
        pass.device.launch(Kernel::LinearBackwardBiasSumF32, layout, &arguments)
    }

    fn backward_input(&self, pass: &CudaBackward<'_>, sizes: &Sizes, dpre: Pointer) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let &Sizes { rows, inputs, outputs } = sizes;
        let small = is_small(pass.precision, rows, inputs);
        let kernel = match (pass.precision, small) {
            (Precision::F32, _) => Kernel::LinearBackwardInputF32,
            (Precision::Bf16, false) => Kernel::LinearBackwardInputBf16,
            (Precision::Bf16, true) => Kernel::LinearBackwardInputSmallBf16,
        };
        let arguments = Arguments::new()
            .pointer(dpre)
            .pointer(pass.inputs[1].working)
            .pointer(dinp.values)
            .count(rows)
            .count(outputs)
            .count(inputs)
            .count(usize::from(dinp.write.adds()));
        pass.device.launch(kernel, tiles(rows, inputs, 1, small), &arguments)
    }

    fn backward_weight(
        &self,
        pass: &CudaBackward<'_>,
        sizes: &Sizes,
        dpre: Pointer,
        partial: Pointer,
    ) -> Result<()> {
        let Some(dweight) = pass.dinputs[1] else { return Ok(()) };
        let &Sizes { rows, inputs, outputs } = sizes;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LinearBackwardWeightF32,
            Precision::Bf16 => Kernel::LinearBackwardWeightBf16,
        };
        let parts = sizes.parts();
        let (to, add) = match parts {
            1 => (dweight.values, dweight.write.adds()),
            _ => (partial, false),
        };
        let arguments = Arguments::new()
            .pointer(dpre)
            .pointer(pass.inputs[0].working)
            .pointer(to)
            .count(rows)
            .count(outputs)
            .count(inputs)
            .count(usize::from(add));
        pass.device.launch(kernel, tiles(outputs, inputs, parts, false), &arguments)?;
        if parts == 1 {
            return Ok(());
        }
        let count = outputs * inputs;
        let arguments = Arguments::new()
            .pointer(partial)
            .pointer(dweight.values)
            .count(parts)
            .count(count)
            .count(usize::from(dweight.write.adds()));
        let layout = Layout::row(count.div_ceil(1024), 256);
        pass.device.launch(Kernel::LinearBackwardWeightSumF32, layout, &arguments)
    }
}
