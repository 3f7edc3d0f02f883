//! Linear layer on a device: one product forward, with the norm before it and all that follows it; backward one
//! launch that makes all gradients, after one for `dpre` where there is an activation, before layer norm's backward
//! pass where there is a norm. Weights are read in the session's precision, biases and norms in f32.

mod backward;
mod division;
mod norm;

use arrayvec::ArrayVec;

use self::backward::Work;
use self::division::{Divided, Product, divide};
use super::Linear;
use crate::cpu::activation::Activation;
use crate::cuda::arguments::{Arguments, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaRandom, OnCuda, TICKETS, Workspace};

/// Columns of a block that goes through `dout` number by number.
const COLUMNS: usize = 128;
/// Rows of its chunk at least, most chunks, and blocks that are enough for a device.
const CHUNK: usize = 32;
const MOST_CHUNKS: usize = 128;
const ENOUGH_BLOCKS: usize = 1024;

/// Extents of the layer, of which each of `samples` has some rows.
struct Sizes {
    samples: usize,
    rows: usize,
    inputs: usize,
    outputs: usize,
    precision: Precision,
}

impl Sizes {
    fn of(types: &[&TensorType], precision: Precision) -> Self {
        let (inp, weight) = (&types[0].shape, &types[1].shape);
        Self {
            samples: inp.extents()[0],
            rows: inp.rows(),
            inputs: inp.channels(),
            outputs: weight.extents()[0],
            precision,
        }
    }

    fn forward(&self, norm: bool) -> Divided {
        let &Self { rows, inputs, outputs, precision, .. } = self;
        let product = Product { rows, columns: outputs, depth: inputs, norm };
        let [out] = divide([product], precision, TICKETS);
        out
    }

    /// How the input's gradient and the weight's are divided: by the same tiles.
    fn backward(&self) -> [Divided; 2] {
        let &Self { rows, inputs, outputs, precision, .. } = self;
        let dinp = Product { rows, columns: inputs, depth: outputs, norm: false };
        let dweight = Product { rows: outputs, columns: inputs, depth: rows, norm: false };
        divide([dinp, dweight], precision, TICKETS - self.bias_tickets())
    }

    fn column_tiles(&self) -> usize {
        self.outputs.div_ceil(COLUMNS)
    }

    /// Chunks of the rows whose sums of the bias are added up.
    fn chunks(&self) -> usize {
        let tiles = self.column_tiles();
        let most = self.rows.div_ceil(CHUNK).min(MOST_CHUNKS);
        if tiles > TICKETS / 2 { 1 } else { (ENOUGH_BLOCKS / tiles).min(most).max(1) }
    }

    /// Blocks that go through `dout` number by number.
    fn column_blocks(&self) -> usize {
        self.column_tiles() * self.chunks()
    }

    fn bias_tickets(&self) -> usize {
        if self.chunks() > 1 { self.column_tiles() } else { 0 }
    }

    /// Bytes of the chunks' sums.
    fn bias_sums(&self) -> usize {
        self.column_blocks() * COLUMNS * size_of::<f32>()
    }

    /// Bytes of a matrix of activations.
    fn matrix(&self, columns: usize) -> usize {
        self.rows * columns * self.precision.bytes()
    }
}

/// As the kernels number them.
fn number(activation: Activation) -> usize {
    match activation {
        Activation::None => 0,
        Activation::Relu => 1,
        Activation::Gelu => 2,
    }
}

impl Linear {
    /// Whether backward makes `dpre` before the products: elsewhere they read `dout`, and drop of it themselves
    /// unless they have a norm to make.
    fn has_epilogue(&self) -> bool {
        self.activation != Activation::None || (self.norm.is_some() && self.drop.is_some())
    }

    /// What a kernel has to know to drop: 1 for elements, 2 for samples of so many rows, 0 for nothing.
    fn append_drop(&self, arguments: Arguments, sizes: &Sizes, random: CudaRandom) -> Arguments {
        let what = self.drop.map_or(0, |drop| if drop.per_sample { 2 } else { 1 });
        arguments
            .count(what)
            .count(sizes.rows / sizes.samples)
            .count(self.drop.map_or(0, |drop| drop.least_word() as usize))
            .float(self.drop.map_or(1.0, |drop| (1.0 / (1.0 - drop.rate)) as f32))
            .long(random.seed)
            .count(random.node)
            .pointer(random.step)
    }
}

impl OnCuda for Linear {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        let of_norm = self.norm_input().into_iter().flat_map(|i| [i, i + 1]);
        std::iter::once(1).chain(of_norm).chain(self.bias_input()).collect()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let sizes = Sizes::of(inputs, precision);
        Workspace { forward: sizes.forward(self.norm.is_some()).memory(), backward: Work::bytes(self, &sizes) }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        if self.packed {
            return Err(Error::usage("linear: weights are packed on the CPU only"));
        }
        let sizes = Sizes::of(&pass.types, pass.precision);
        let division = sizes.forward(self.norm.is_some());
        let kernels = match self.norm {
            None => [
                Kernel::LinearForwardF32,
                Kernel::LinearForwardBf16,
                Kernel::LinearForwardSmallBf16,
            ],
            Some(_) => [
                Kernel::LinearForwardNormF32,
                Kernel::LinearForwardNormBf16,
                Kernel::LinearForwardNormSmallBf16,
            ],
        };
        let layout = division.tile.layout(division.blocks(), self.norm.is_some());
        let arguments = self.forward_arguments(pass, &sizes, &division);
        pass.device.launch(division.tile.choose(kernels), layout, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types, pass.precision);
        Work::new(self, pass, &sizes).queue()
    }
}

impl Linear {
    fn forward_arguments(
        &self,
        pass: &CudaForward<'_>,
        sizes: &Sizes,
        division: &Divided,
    ) -> Arguments {
        let kept = |i: usize| pass.kept.get(i).copied().unwrap_or(Pointer::NULL);
        let inp = Arguments::new().pointer(pass.inputs[0].working);
        let inp = match (self.norm, self.norm_input()) {
            (Some(eps), Some(i)) => inp
                .pointer(pass.inputs[i].full)
                .pointer(pass.inputs[i + 1].full)
                .pointer(kept(0))
                .pointer(kept(1))
                .float(eps as f32),
            _ => inp,
        };
        let arguments = inp
            .pointer(pass.inputs[1].working)
            .pointer(self.bias_input().map_or(Pointer::NULL, |i| pass.inputs[i].full))
            .pointer(self.residual_input().map_or(Pointer::NULL, |i| pass.inputs[i].working))
            .pointer(pass.out)
            .pointer(kept(self.norms()))
            .pointer(pass.workspace)
            .pointer(pass.tickets)
            .count(sizes.rows)
            .count(sizes.outputs)
            .count(sizes.inputs)
            .count(division.parts)
            .count(number(self.activation));
        self.append_drop(arguments, sizes, pass.random)
    }
}
