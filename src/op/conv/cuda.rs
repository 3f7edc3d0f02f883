//! Convolution on a device: the weight is packed as a product reads it, then one product forward; backward one
//! for the input and one for weight and bias, whose parts a last kernel adds.

use arrayvec::ArrayVec;

use super::Conv;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::device::Device;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaGradient, OnCuda, Workspace};

/// Rows and columns of a block's tile of a product; fewer columns than these are a narrow tile's, which is cheap.
const TILE: usize = 128;
const NARROW: usize = 32;
const THREADS: u32 = 256;
/// Blocks of a product that a device runs at once, about, and the most parts of a sum.
const AT_ONCE: usize = 256;
const MOST_PARTS: usize = 8;
/// Steps along the depth of a product that are worth a block.
const LEAST_STEPS: usize = 8;
/// The widest kernel whose taps' rows and columns a word has bits for.
const WIDEST_KERNEL: usize = 15;

/// Extents of the convolution, and how its sums are parted: from the shapes alone, so that the order of
/// every sum is the same on every device.
struct Sizes {
    height: usize,
    width: usize,
    pixels: usize,
    channels: usize,
    outputs: usize,
    kernel: usize,
    precision: Precision,
}

impl Sizes {
    fn of(types: &[&TensorType], precision: Precision) -> Self {
        let (inp, weight) = (&types[0].shape, types[1].shape.extents());
        Self {
            height: inp.extents()[1],
            width: inp.extents()[2],
            pixels: inp.rows(),
            channels: weight[1],
            outputs: weight[0],
            kernel: weight[2],
            precision,
        }
    }

    /// Numbers of a pixel that a product sums over: all taps of its channels, which are filled up.
    fn depth(&self, channels: usize) -> usize {
        channels.next_multiple_of(8) * self.kernel * self.kernel
    }

    /// Parts of a sum over `depth`: so many that the blocks fill the device, or nearly.
    fn parts(&self, rows: usize, columns: usize, depth: usize) -> usize {
        let step = match self.precision {
            Precision::F32 => 16,
            Precision::Bf16 => 32,
        };
        let wide = columns / TILE + usize::from(columns % TILE > NARROW);
        let tiles = rows.div_ceil(TILE) * wide.max(1);
        let most = (depth / step / LEAST_STEPS).clamp(1, MOST_PARTS);
        let fills = |blocks: usize| 5 * blocks >= 4 * blocks.next_multiple_of(AT_ONCE);
        (1..most).find(|parts| fills(tiles * parts)).unwrap_or(most)
    }

    fn forward_parts(&self) -> usize {
        self.parts(self.pixels, self.outputs, self.depth(self.channels))
    }

    fn input_parts(&self) -> usize {
        self.parts(self.pixels, self.channels, self.depth(self.outputs))
    }

    /// Rows of the product that makes the weight's gradient; the last is the bias's.
    fn weight_rows(&self) -> usize {
        self.depth(self.channels) + 1
    }

    fn weight_parts(&self) -> usize {
        self.parts(self.weight_rows(), self.outputs, self.pixels)
    }

    /// Bytes of a packed weight of so many rows, each of all taps of `channels`.
    fn packed(&self, rows: usize, channels: usize) -> usize {
        (rows * self.depth(channels) * self.precision.bytes()).next_multiple_of(256)
    }

    /// Bytes of the parts of a map with `columns` channels.
    fn partial(&self, parts: usize, columns: usize) -> usize {
        let parts = if parts > 1 { parts } else { 0 };
        parts * self.pixels * columns.next_multiple_of(4) * size_of::<f32>()
    }

    fn product(&self, rows: usize, columns: usize, parts: usize) -> Result<Layout> {
        let tiles = rows.div_ceil(TILE);
        if self.kernel > WIDEST_KERNEL || tiles > 65_535 {
            let Self { pixels, channels, outputs, kernel, .. } = self;
            return Err(Error::usage(format!(
                "conv on a device: a kernel of {kernel} x {kernel} from {channels} to {outputs} channels over \
                 {pixels} pixels is too large; kernels are at most {WIDEST_KERNEL} wide"
            )));
        }
        let shared = match self.precision {
            Precision::F32 => 33 << 10,
            Precision::Bf16 => 48 << 10,
        };
        let grid = [columns.div_ceil(TILE), tiles, parts].map(|n| n as u32);
        Ok(Layout { grid, block: [THREADS, 1, 1], shared: shared + (2 << 10) })
    }

    fn append(&self, arguments: Arguments) -> Arguments {
        let Self { height, width, pixels, channels, outputs, kernel, .. } = *self;
        let extents = [pixels, height, width, channels, outputs, kernel];
        extents.into_iter().fold(arguments, Arguments::count)
    }

    /// Which of a product's kernels reads `map` with `channels`: two numbers at once where lines are not
    /// multiples of 16 bytes, but of four.
    fn choose(&self, map: Pointer, channels: usize, kernels: [Kernel; 3]) -> Kernel {
        let multiples = |numbers: usize, bytes: u64| {
            channels.is_multiple_of(numbers) && map.0.is_multiple_of(bytes)
        };
        let [f32, bf16, pairs] = kernels;
        match self.precision {
            Precision::F32 => f32,
            Precision::Bf16 if multiples(2, 4) && !multiples(8, 16) => pairs,
            Precision::Bf16 => bf16,
        }
    }

    /// Packs the weight with one of the kernels that do.
    fn pack(
        &self,
        device: &Device,
        kernels: [Kernel; 2],
        weight: Pointer,
        packed: Pointer,
    ) -> Result<()> {
        let [f32, bf16] = kernels;
        let kernel = match self.precision {
            Precision::F32 => f32,
            Precision::Bf16 => bf16,
        };
        let arguments = Arguments::new()
            .pointer(weight)
            .pointer(packed)
            .count(self.outputs)
            .count(self.channels)
            .count(self.kernel);
        let grid = [self.channels.div_ceil(32) as u32, self.outputs.div_ceil(32) as u32, 1];
        device.launch(kernel, Layout { grid, block: [THREADS, 1, 1], shared: 0 }, &arguments)
    }
}

impl OnCuda for Conv {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([1, 2])
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let sizes = Sizes::of(inputs, precision);
        let weight = sizes.weight_parts() * sizes.weight_rows() * sizes.outputs * size_of::<f32>();
        let input = sizes.packed(sizes.channels, sizes.outputs)
            + sizes.partial(sizes.input_parts(), sizes.channels);
        Workspace {
            forward: sizes.packed(sizes.outputs, sizes.channels)
                + sizes.partial(sizes.forward_parts(), sizes.outputs),
            // One after the other.
            backward: weight.max(input),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types, pass.precision);
        let layout = sizes.product(sizes.pixels, sizes.outputs, sizes.forward_parts())?;
        let (inp, weight) = (pass.inputs[0].working, pass.inputs[1].working);
        let packed = pass.workspace;
        let kernels = [Kernel::ConvForwardPackF32, Kernel::ConvForwardPackBf16];
        sizes.pack(pass.device, kernels, weight, packed)?;
        let kernels =
            [Kernel::ConvForwardF32, Kernel::ConvForwardBf16, Kernel::ConvForwardPairsBf16];
        let arguments = Arguments::new()
            .pointer(inp)
            .pointer(packed)
            .pointer(pass.inputs[2].full)
            .pointer(pass.out)
            .pointer(packed.offset(sizes.packed(sizes.outputs, sizes.channels)))
            .pointer(pass.tickets);
        let kernel = sizes.choose(inp, sizes.channels, kernels);
        pass.device.launch(kernel, layout, &sizes.append(arguments))
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types, pass.precision);
        if let Some(dinp) = pass.dinputs[0] {
            backward_input(pass, &sizes, dinp)?;
        }
        if pass.dinputs[1..].iter().any(Option::is_some) {
            backward_weight(pass, &sizes)?;
        }
        Ok(())
    }
}

fn backward_input(pass: &CudaBackward<'_>, sizes: &Sizes, dinp: CudaGradient) -> Result<()> {
    let layout = sizes.product(sizes.pixels, sizes.channels, sizes.input_parts())?;
    let packed = pass.workspace;
    let kernels = [Kernel::ConvBackwardPackF32, Kernel::ConvBackwardPackBf16];
    sizes.pack(pass.device, kernels, pass.inputs[1].working, packed)?;
    let kernels = [
        Kernel::ConvBackwardInputF32,
        Kernel::ConvBackwardInputBf16,
        Kernel::ConvBackwardInputPairsBf16,
    ];
    let arguments = Arguments::new()
        .pointer(pass.dout)
        .pointer(packed)
        .pointer(dinp.values)
        .pointer(packed.offset(sizes.packed(sizes.channels, sizes.outputs)))
        .pointer(pass.tickets);
    let arguments = sizes.append(arguments).count(usize::from(dinp.write.adds()));
    let kernel = sizes.choose(pass.dout, sizes.outputs, kernels);
    pass.device.launch(kernel, layout, &arguments)
}

/// The sums of parts of the pixels, then those of the parts; the bias is one more row of the weight.
fn backward_weight(pass: &CudaBackward<'_>, sizes: &Sizes) -> Result<()> {
    let (partial, parts) = (pass.workspace, sizes.weight_parts());
    let layout = sizes.product(sizes.weight_rows(), sizes.outputs, parts)?;
    let kernels = [
        Kernel::ConvBackwardWeightF32,
        Kernel::ConvBackwardWeightBf16,
        Kernel::ConvBackwardWeightPairsBf16,
    ];
    let inp = pass.inputs[0].working;
    let arguments = Arguments::new().pointer(inp).pointer(pass.dout).pointer(partial);
    let kernel = sizes.choose(inp, sizes.channels, kernels);
    pass.device.launch(kernel, layout, &sizes.append(arguments))?;
    let gradients = [pass.dinputs[1], pass.dinputs[2]];
    let values = |d: &Option<CudaGradient>| d.map_or(Pointer::NULL, |d| d.values);
    let adds = |d: &Option<CudaGradient>| usize::from(d.is_some_and(|d| d.write.adds()));
    let arguments = gradients
        .iter()
        .fold(Arguments::new().pointer(partial), |a, d| a.pointer(values(d)))
        .count(parts)
        .count(sizes.channels)
        .count(sizes.outputs)
        .count(sizes.kernel);
    let arguments = gradients.iter().fold(arguments, |a, d| a.count(adds(d)));
    let grid = [sizes.channels.div_ceil(8) as u32, sizes.outputs.div_ceil(32) as u32, 1];
    let layout = Layout { grid, block: [THREADS, 1, 1], shared: 0 };
    pass.device.launch(Kernel::ConvBackwardWeightSumF32, layout, &arguments)
}
