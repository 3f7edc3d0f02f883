//! Convolution on a device: one kernel in each direction. Weights are packed as a product reads them, and the
//! weight's gradient is put in its order, by blocks of the same launch.

use arrayvec::ArrayVec;

use super::Conv;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, TICKETS, Workspace};

/// Outputs and channels that a block packs, and those that one sums.
const PACKED: usize = 32;
const SUMMED: [usize; 2] = [32, 8];
/// Counters before those of the tiles.
const TICKETS_OF_PHASES: usize = 7;
/// Bytes that memory is read in, and pixels that a block copies to where these begin.
const SECTOR: usize = 32;
const LINE_PIXELS: usize = 16;
/// Channels that a product reads of a tap at once; more are filled up to 16, fewer to eight.
const GROUP: usize = 32;
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
        let filled = channels.next_multiple_of(if channels > GROUP { 16 } else { 8 });
        filled * self.kernel * self.kernel
    }

    /// Bytes from a pixel to the next where each begins with a sector.
    fn line(&self) -> usize {
        (self.channels * self.precision.bytes()).next_multiple_of(SECTOR)
    }

    /// Whether the map is copied so: products read it for each tap and each tile.
    fn copies_lines(&self) -> bool {
        self.channels > GROUP && self.line() != self.channels * self.precision.bytes()
    }

    /// Bytes of the copy, and the blocks that make it.
    fn lines(&self) -> usize {
        if self.copies_lines() { (self.pixels * self.line()).next_multiple_of(256) } else { 0 }
    }

    fn line_blocks(&self) -> usize {
        if self.copies_lines() { self.pixels.div_ceil(LINE_PIXELS) } else { 0 }
    }

    /// Where the copy begins, null if there is none.
    fn lines_at(&self, scratch: Pointer) -> Pointer {
        if self.copies_lines() { scratch } else { Pointer::NULL }
    }

    /// Steps of a product along `depth`.
    fn steps(&self, depth: usize) -> usize {
        let step = match self.precision {
            Precision::F32 => 16,
            Precision::Bf16 => 32,
        };
        depth.div_ceil(step)
    }

    /// Parts of the sums that make the output: so many that the blocks fill the device, or nearly.
    fn forward_parts(&self) -> usize {
        let tiles = costly_tiles(self.pixels, self.outputs);
        let most = most_parts(self.steps(self.depth(self.channels)));
        let fills = |blocks: usize| 5 * blocks >= 4 * blocks.next_multiple_of(AT_ONCE);
        (1..most).find(|parts| fills(tiles * parts)).unwrap_or(most)
    }

    /// Parts of the sums that make the gradients of input and weight, in one launch: each so many that no block
    /// takes much longer than the device would if all were alike.
    fn backward_parts(&self) -> [usize; 2] {
        let products = [
            (self.pixels, self.channels, self.depth(self.outputs)),
            (self.weight_rows(), self.outputs, self.pixels),
        ];
        let work =
            products.map(|(rows, columns, depth)| (costly_tiles(rows, columns), self.steps(depth)));
        let all: usize = work.iter().map(|(tiles, steps)| tiles * steps).sum();
        let share = all.div_ceil(AT_ONCE);
        work.map(|(_, steps)| steps.div_ceil(share).min(most_parts(steps)))
    }

    /// Rows of the product that makes the weight's gradient; the last is the bias's.
    fn weight_rows(&self) -> usize {
        self.depth(self.channels) + 1
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

    fn tiles(rows: usize, columns: usize) -> usize {
        rows.div_ceil(TILE) * columns.div_ceil(TILE)
    }

    fn pack_blocks(&self) -> usize {
        self.outputs.div_ceil(PACKED) * self.channels.div_ceil(PACKED)
    }

    /// Blocks that make the output: they copy the map, pack the weight, and have parts of tiles.
    fn forward_blocks(&self) -> usize {
        self.line_blocks()
            + self.pack_blocks()
            + Self::tiles(self.pixels, self.outputs) * self.forward_parts()
    }

    fn input_blocks(&self) -> usize {
        self.pack_blocks() + Self::tiles(self.pixels, self.channels) * self.backward_parts()[0]
    }

    /// Blocks that make the gradients of weight and bias: they copy the map, have parts of tiles, and sum them.
    fn weight_blocks(&self) -> usize {
        let [outputs, channels] = SUMMED;
        self.line_blocks()
            + Self::tiles(self.weight_rows(), self.outputs) * self.backward_parts()[1]
            + self.outputs.div_ceil(outputs) * self.channels.div_ceil(channels)
    }

    /// A launch of so many blocks, which add up the parts of `tiles` tiles.
    fn layout(&self, blocks: usize, tiles: usize) -> Result<Layout> {
        let Self { pixels, channels, outputs, kernel, .. } = self;
        if *kernel > WIDEST_KERNEL || tiles + TICKETS_OF_PHASES > TICKETS {
            return Err(Error::usage(format!(
                "conv on a device: a kernel of {kernel} x {kernel} from {channels} to {outputs} channels over \
                 {pixels} pixels is too large; kernels are at most {WIDEST_KERNEL} wide"
            )));
        }
        let shared = match self.precision {
            Precision::F32 => 37 << 10,
            Precision::Bf16 => 50 << 10,
        };
        Ok(Layout { shared, ..Layout::row(blocks, THREADS) })
    }

    /// Tiles [rows, columns] that have parts.
    fn parted(rows: usize, columns: usize, parts: usize) -> usize {
        if parts > 1 { Self::tiles(rows, columns) } else { 0 }
    }

    /// Bytes of the packed weight and of the parts, for the input's gradient.
    fn input_scratch(&self) -> [usize; 2] {
        let parts = self.partial(self.backward_parts()[0], self.channels);
        [self.packed(self.channels, self.outputs), parts.next_multiple_of(256)]
    }

    /// Bytes of the parts of the weight's gradient.
    fn weight_scratch(&self) -> usize {
        self.backward_parts()[1] * self.weight_rows() * self.outputs * size_of::<f32>()
    }

    fn backward_arguments(&self, pass: &CudaBackward<'_>) -> Arguments {
        let gradients: [_; 3] = std::array::from_fn(|i| pass.gradient(i));
        let [packed, parts] = self.input_scratch();
        let scratch = pass.workspace.offset(self.lines());
        let scratch = [0, packed, packed + parts].map(|bytes| scratch.offset(bytes));
        let read = [pass.dout, pass.inputs[0].working, pass.inputs[1].working];
        let pointers = read.into_iter().chain(gradients.map(|(values, _)| values));
        let pointers = pointers.chain([self.lines_at(pass.workspace)]);
        let pointers = pointers.chain(scratch).chain([pass.tickets]);
        let arguments = self.append(pointers.fold(Arguments::new(), Arguments::pointer));
        let arguments = self.backward_parts().into_iter().fold(arguments, Arguments::count);
        gradients.into_iter().fold(arguments, |to, (_, add)| to.count(add))
    }

    fn append(&self, arguments: Arguments) -> Arguments {
        let Self { height, width, pixels, channels, outputs, kernel, .. } = *self;
        let extents = [pixels, height, width, channels, outputs, kernel];
        extents.into_iter().fold(arguments, Arguments::count)
    }
}

/// Tiles [rows, columns] without those that are narrow beside wide ones.
fn costly_tiles(rows: usize, columns: usize) -> usize {
    let wide = columns / TILE + usize::from(columns % TILE > NARROW);
    rows.div_ceil(TILE) * wide.max(1)
}

fn most_parts(steps: usize) -> usize {
    (steps / LEAST_STEPS).clamp(1, MOST_PARTS)
}

impl OnCuda for Conv {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([1, 2])
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let sizes = Sizes::of(inputs, precision);
        let [packed, parts] = sizes.input_scratch();
        Workspace {
            forward: sizes.lines()
                + sizes.packed(sizes.outputs, sizes.channels)
                + sizes.partial(sizes.forward_parts(), sizes.outputs),
            backward: sizes.lines() + packed + parts + sizes.weight_scratch(),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types, pass.precision);
        let parts = sizes.forward_parts();
        let tiles = Sizes::parted(sizes.pixels, sizes.outputs, parts);
        let layout = sizes.layout(sizes.forward_blocks(), tiles)?;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ConvForwardF32,
            Precision::Bf16 => Kernel::ConvForwardBf16,
        };
        let packed = pass.workspace.offset(sizes.lines());
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(pass.inputs[2].full)
            .pointer(pass.out)
            .pointer(sizes.lines_at(pass.workspace))
            .pointer(packed)
            .pointer(packed.offset(sizes.packed(sizes.outputs, sizes.channels)))
            .pointer(pass.tickets);
        pass.device.launch(kernel, layout, &sizes.append(arguments).count(parts))
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types, pass.precision);
        let of_input = pass.dinputs[0].map_or(0, |_| sizes.input_blocks());
        let of_weight = match pass.dinputs[1].or(pass.dinputs[2]) {
            None => 0,
            Some(_) => sizes.weight_blocks(),
        };
        if of_input + of_weight == 0 {
            return Ok(());
        }
        let tiles = Sizes::parted(sizes.pixels, sizes.channels, sizes.backward_parts()[0]);
        let layout = sizes.layout(of_input + of_weight, tiles)?;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ConvBackwardF32,
            Precision::Bf16 => Kernel::ConvBackwardBf16,
        };
        pass.device.launch(kernel, layout, &sizes.backward_arguments(pass))
    }
}
