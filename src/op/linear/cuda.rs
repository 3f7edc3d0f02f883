//! Linear layer on a device: one product forward; backward one launch that makes all gradients, after one for
//! `dpre` where there is an activation. Weights are read in the session's precision, biases in f32.

mod division;

use arrayvec::ArrayVec;

use self::division::{Divided, Product, Scratch, divide};
use super::Linear;
use crate::cpu::activation::Activation;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, TICKETS, Workspace};

/// Columns of a block that goes through `dout` number by number, and its threads' shared memory.
const COLUMNS: usize = 128;
const COLUMNS_SHARED: u32 = 8 << 10;
/// Rows of its chunk at least, most chunks, and blocks that are enough for a device.
const CHUNK: usize = 32;
const MOST_CHUNKS: usize = 128;
const ENOUGH_BLOCKS: usize = 1024;

/// Extents of the layer.
struct Sizes {
    rows: usize,
    inputs: usize,
    outputs: usize,
    precision: Precision,
}

impl Sizes {
    fn of(types: &[&TensorType], precision: Precision) -> Self {
        let (inp, weight) = (&types[0].shape, &types[1].shape);
        let (rows, inputs) = (inp.rows(), inp.channels());
        Self { rows, inputs, outputs: weight.extents()[0], precision }
    }

    fn forward(&self) -> Divided {
        let &Self { rows, inputs, outputs, precision } = self;
        let [out] = divide([Product { rows, columns: outputs, depth: inputs }], precision, TICKETS);
        out
    }

    /// How the input's gradient and the weight's are divided: by the same tiles.
    fn backward(&self) -> [Divided; 2] {
        let &Self { rows, inputs, outputs, precision } = self;
        let dinp = Product { rows, columns: inputs, depth: outputs };
        let dweight = Product { rows: outputs, columns: inputs, depth: rows };
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

    fn bias_tickets(&self) -> usize {
        if self.chunks() > 1 { self.column_tiles() } else { 0 }
    }

    /// Bytes of the chunks' sums.
    fn bias_sums(&self) -> usize {
        self.chunks() * self.column_tiles() * COLUMNS * size_of::<f32>()
    }

    /// Bytes of dpre, where it is another matrix than dout.
    fn dpre(&self, activation: Activation) -> usize {
        match activation {
            Activation::None => 0,
            _ => self.rows * self.outputs * self.precision.bytes(),
        }
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

impl OnCuda for Linear {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        std::iter::once(1).chain(self.bias_input()).collect()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let sizes = Sizes::of(inputs, precision);
        let [dinp, dweight] = sizes.backward();
        let backward =
            [sizes.dpre(self.activation), sizes.bias_sums(), dinp.memory(), dweight.memory()];
        Workspace {
            forward: sizes.forward().memory(),
            backward: backward.map(Scratch::rounded).iter().sum(),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        if self.packed {
            return Err(Error::usage("linear: weights are packed on the CPU only"));
        }
        let sizes = Sizes::of(&pass.types, pass.precision);
        let division = sizes.forward();
        let kernel = match (pass.precision, division.tile.is_small()) {
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
            .pointer(pass.workspace)
            .pointer(pass.tickets)
            .count(sizes.rows)
            .count(sizes.outputs)
            .count(sizes.inputs)
            .count(division.parts)
            .count(number(self.activation));
        pass.device.launch(kernel, division.tile.layout(division.blocks()), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types, pass.precision);
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let (dbias, add_bias) = self.gradient(pass, self.bias_input());
        let bias = BiasSum {
            dbias,
            add: add_bias,
            sums: scratch.bytes(sizes.bias_sums()),
            tickets: scratch.tickets(sizes.bias_tickets()),
        };
        match self.activation {
            Activation::None => self.backward_products(pass, &sizes, pass.dout, &bias, scratch),
            _ => {
                let dpre = scratch.bytes(sizes.dpre(self.activation));
                self.backward_activation(pass, &sizes, dpre, &bias)?;
                let bias = BiasSum { dbias: Pointer::NULL, ..bias };
                self.backward_products(pass, &sizes, dpre, &bias, scratch)
            }
        }
    }
}

/// The bias's gradient, null if it is not wanted, and what its sum needs.
struct BiasSum {
    dbias: Pointer,
    add: usize,
    sums: Pointer,
    tickets: Pointer,
}

impl Linear {
    /// The gradient of an input that there may be.
    fn gradient(&self, pass: &CudaBackward<'_>, input: Option<usize>) -> (Pointer, usize) {
        input.map_or((Pointer::NULL, 0), |i| pass.gradient(i))
    }

    /// `dpre` and the bias's gradient.
    fn backward_activation(
        &self,
        pass: &CudaBackward<'_>,
        sizes: &Sizes,
        dpre: Pointer,
        bias: &BiasSum,
    ) -> Result<()> {
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LinearBackwardActivationF32,
            Precision::Bf16 => Kernel::LinearBackwardActivationBf16,
        };
        let saved = match self.activation {
            Activation::Gelu => pass.kept[0],
            _ => pass.out,
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(saved)
            .pointer(dpre)
            .pointer(bias.dbias)
            .pointer(bias.sums)
            .pointer(bias.tickets)
            .count(sizes.rows)
            .count(sizes.outputs)
            .count(sizes.chunks())
            .count(number(self.activation))
            .count(bias.add);
        let layout = Layout::row(sizes.column_tiles() * sizes.chunks(), 256);
        pass.device.launch(kernel, Layout { shared: COLUMNS_SHARED, ..layout }, &arguments)
    }

    /// All gradients that are left.
    fn backward_products(
        &self,
        pass: &CudaBackward<'_>,
        sizes: &Sizes,
        dpre: Pointer,
        bias: &BiasSum,
        mut scratch: Scratch,
    ) -> Result<()> {
        let [of_dinp, of_dweight] = sizes.backward();
        let (dinp, add_input) = pass.gradient(0);
        let (dweight, add_weight) = pass.gradient(1);
        let (dresidual, add_residual) = self.gradient(pass, self.residual_input());
        let kernel = match (pass.precision, of_dinp.tile.is_small()) {
            (Precision::F32, _) => Kernel::LinearBackwardF32,
            (Precision::Bf16, false) => Kernel::LinearBackwardBf16,
            (Precision::Bf16, true) => Kernel::LinearBackwardSmallBf16,
        };
        let blocks = [
            (of_dinp.blocks(), dinp != Pointer::NULL),
            (of_dweight.blocks(), dweight != Pointer::NULL),
            (
                sizes.column_tiles() * sizes.chunks(),
                bias.dbias != Pointer::NULL || dresidual != Pointer::NULL,
            ),
        ];
        let blocks = blocks.iter().filter(|(_, wanted)| *wanted).map(|(blocks, _)| blocks).sum();
        if blocks == 0 {
            return Ok(());
        }
        let arguments = Arguments::new()
            .pointer(dpre)
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].working)
            .pointer(dinp)
            .pointer(dweight)
            .pointer(bias.dbias)
            .pointer(dresidual)
            .pointer(scratch.bytes(of_dinp.memory()))
            .pointer(scratch.bytes(of_dweight.memory()))
            .pointer(bias.sums)
            .pointer(scratch.tickets(of_dinp.tickets()))
            .pointer(scratch.tickets(of_dweight.tickets()))
            .pointer(bias.tickets)
            .count(sizes.rows)
            .count(sizes.outputs)
            .count(sizes.inputs)
            .count(of_dinp.parts)
            .count(of_dweight.parts)
            .count(sizes.chunks())
            .count(usize::from(of_dweight.steps_of_block() >= of_dinp.steps_of_block()))
            .count(add_input)
            .count(add_weight)
            .count(bias.add)
            .count(add_residual);
        pass.device.launch(kernel, of_dinp.tile.layout(blocks), &arguments)
    }
}
