//! Launches of a linear layer, for every operation that has one: the counterpart of `kernels/linear.cu`.
//!
//! One product forward, with the norm before it and all that follows it; backward one launch that makes all
//! gradients, after one for `dpre` where there is an activation, before layer norm's backward pass where there is a
//! norm. Weights are read in the session's precision, biases and norms in f32.

mod backward;
pub mod division;

pub use backward::{Backward, Gradients};

use self::backward::Work;
use self::division::{Divided, Order, Product, divide};
use super::arguments::{Arguments, Pointer};
use super::device::Device;
use super::kernels::Kernel;
use super::pass::{CudaDropout, CudaRandom, TICKETS};
use super::precision::Precision;
use crate::error::Result;

/// Columns of a block that goes through `dout` number by number, and rows of a large tile.
const COLUMNS: usize = 128;
/// Rows of its chunk at least, most chunks, and blocks that are enough for a device.
const CHUNK: usize = 32;
const MOST_CHUNKS: usize = 128;
const ENOUGH_BLOCKS: usize = 1024;
/// Counters of blocks of which some wait for others.
const TURNS: usize = 3;

/// `out = residual + drop(activation(norm(inp) weight^T + bias))` without what lies where.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    pub precision: Precision,
    /// Each has as many of the rows.
    pub samples: usize,
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    /// What the norm adds to the variance, if there is one.
    pub norm: Option<f64>,
    /// By its number.
    pub activation: usize,
    pub drop: Option<CudaDropout>,
    /// Backward: what is given as the input is what this activation gets, of which the layer reads what comes out, and
    /// the input's gradient is that of what it gets; it has to be wanted. Without a norm, and without an activation
    /// behind the product.
    pub input_of: Option<usize>,
}

/// No activation, as the kernels number them.
pub const NO_ACTIVATION: usize = 0;

/// Where a forward pass reads and writes; null for what there is not.
#[derive(Clone, Copy, Debug)]
pub struct Forward {
    pub inp: Pointer,
    /// Weight and bias.
    pub norm: [Pointer; 2],
    /// Mean and rstd of each row, to be left.
    pub statistics: [Pointer; 2],
    pub weight: Pointer,
    pub bias: Pointer,
    pub residual: Pointer,
    pub out: Pointer,
    /// The product with its bias, to be left.
    pub pre: Pointer,
    /// [`Layer::forward_workspace`] bytes.
    pub workspace: Pointer,
    /// [`TICKETS`] counters, zero before and after.
    pub tickets: Pointer,
    pub random: CudaRandom,
}

impl Layer {
    /// Bytes of scratch memory.
    pub fn forward_workspace(&self) -> usize {
        self.division().memory()
    }

    pub fn backward_workspace(&self) -> usize {
        Work::bytes(self)
    }

    /// Queues the forward pass: one launch.
    ///
    /// # Errors
    /// The launch failed.
    pub fn queue_forward(&self, device: &Device, pass: &Forward) -> Result<()> {
        let division = self.division();
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
        let arguments = self.forward_arguments(pass, division.parts);
        device.launch(division.tile.choose(kernels), layout, &arguments)
    }

    /// Queues what writes the gradients that are wanted.
    ///
    /// # Errors
    /// A launch failed.
    pub fn queue_backward(&self, device: &Device, pass: &Backward) -> Result<()> {
        Work::new(self, device, pass).queue()
    }

    fn forward_arguments(&self, pass: &Forward, parts: usize) -> Arguments {
        let around = [pass.weight, pass.bias, pass.residual, pass.out, pass.pre];
        let memory = [pass.workspace, pass.tickets];
        let counts = [self.rows, self.outputs, self.inputs, parts, self.activation];
        let arguments = [pass.inp]
            .into_iter()
            .chain(pass.norm)
            .chain(pass.statistics)
            .chain(around)
            .chain(memory)
            .fold(Arguments::new(), Arguments::pointer)
            .float(self.norm.unwrap_or(0.0) as f32);
        counts
            .into_iter()
            .fold(arguments, Arguments::count)
            .drop(self.drop, self.rows / self.samples, pass.random)
            .structure()
    }

    /// Whether backward makes `dpre` before the products: elsewhere they read `dout`, and drop of it themselves
    /// unless they have a norm to make.
    fn has_epilogue(&self) -> bool {
        self.activation != NO_ACTIVATION || (self.norm.is_some() && self.drop.is_some())
    }

    fn division(&self) -> Divided {
        let &Self { rows, inputs, outputs, precision, .. } = self;
        let norm = self.norm.is_some();
        let product = Product { rows, columns: outputs, depth: inputs, norm };
        let [out] = divide([product], Order::Together, precision, TICKETS);
        out
    }

    /// How the input's gradient and the weight's are divided: by the same tiles.
    fn backward_division(&self) -> [Divided; 2] {
        let &Self { rows, inputs, outputs, precision, .. } = self;
        let dinp = Product { rows, columns: inputs, depth: outputs, norm: false };
        let dweight = Product { rows: outputs, columns: inputs, depth: rows, norm: false };
        let order = if self.leaves_activated() { Order::InTurn } else { Order::Together };
        divide([dinp, dweight], order, precision, TICKETS - self.bias_tickets() - self.turns())
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

    /// Whether backward leaves what the activation before the layer makes, which the weight's gradient waits for. Where
    /// that is a single tile high each number is read once, and activated then, but in f32, which leaves no registers.
    fn leaves_activated(&self) -> bool {
        let read_once = self.outputs <= COLUMNS && self.precision == Precision::Bf16;
        self.input_of.is_some() && !read_once
    }

    /// Counters of a launch of which some blocks wait for others.
    fn turns(&self) -> usize {
        if self.leaves_activated() { TURNS } else { 0 }
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
