//! What a backward pass of a linear layer queues.

use super::division::{Divided, Scratch};
use super::{Layer, NO_ACTIVATION};
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::device::Device;
use crate::cuda::kernels::Kernel;
use crate::cuda::layer_norm::{self, backward_workspace};
use crate::cuda::pass::CudaRandom;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::write::Write;

/// Shared memory of a block that goes through `dout` number by number.
const COLUMNS_SHARED: u32 = 8 << 10;

/// Where a backward pass reads; null for what there is not.
#[derive(Clone, Copy, Debug)]
pub struct Backward {
    pub dout: Pointer,
    pub inp: Pointer,
    /// Weight and bias.
    pub norm: [Pointer; 2],
    /// Mean and rstd of each row.
    pub statistics: [Pointer; 2],
    pub weight: Pointer,
    /// What tells the activation's derivative: `pre`, for ReLU also `out`.
    pub saved: Pointer,
    pub gradients: Gradients,
    /// [`Layer::backward_workspace`] bytes.
    pub workspace: Pointer,
    /// [`TICKETS`](crate::cuda::pass::TICKETS) counters, zero before and after.
    pub tickets: Pointer,
    pub random: CudaRandom,
}

/// Gradients that are wanted: in the session's precision those of `inp` and `residual`, else f32.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gradients {
    pub inp: Option<(Pointer, Write)>,
    pub weight: Option<(Pointer, Write)>,
    /// Of the norm's weight and bias.
    pub norm: [Option<(Pointer, Write)>; 2],
    pub bias: Option<(Pointer, Write)>,
    pub residual: Option<(Pointer, Write)>,
}

impl Gradients {
    /// Whether one is wanted.
    pub fn any(&self) -> bool {
        let &Self { inp, weight, norm: [norm_weight, norm_bias], bias, residual } = self;
        [inp, weight, norm_weight, norm_bias, bias, residual].iter().any(Option::is_some)
    }
}

/// A backward pass, with what its launches share.
pub(super) struct Work<'a> {
    layer: &'a Layer,
    device: &'a Device,
    pass: &'a Backward,
    /// How the gradients of the product's first operand and of the weight are divided.
    of_input: Divided,
    of_weight: Divided,
    memory: Memory,
}

/// Scratch memory and tickets; null where an operation has none.
struct Memory {
    bias_sums: Pointer,
    dpre: Pointer,
    input_parts: Pointer,
    weight_parts: Pointer,
    dnorm: Pointer,
    norm_sums: Pointer,
    /// What the activation before the layer makes.
    activated: Pointer,
    bias_tickets: Pointer,
    input_tickets: Pointer,
    weight_tickets: Pointer,
    turns: Pointer,
}

/// A gradient that may not be wanted, then null, and 1 if it is added: as kernels take them.
type Slot = (Pointer, usize);
const UNWANTED: Slot = (Pointer::NULL, 0);

fn slot(gradient: Option<(Pointer, Write)>) -> Slot {
    gradient.map_or(UNWANTED, |(values, write)| (values, usize::from(write.adds())))
}

fn is_wanted((values, _): Slot) -> bool {
    values != Pointer::NULL
}

impl<'a> Work<'a> {
    /// Bytes of scratch memory.
    pub(super) fn bytes(layer: &Layer) -> usize {
        let parts = Self::parts_of_memory(layer, &layer.backward_division());
        parts.iter().copied().map(Scratch::rounded).sum()
    }

    /// In the order of [`Memory`].
    fn parts_of_memory(layer: &Layer, [of_input, of_weight]: &[Divided; 2]) -> [usize; 7] {
        let norm = usize::from(layer.norm.is_some());
        [
            layer.bias_sums(),
            if layer.has_epilogue() { layer.matrix(layer.outputs) } else { 0 },
            of_input.memory(),
            of_weight.memory(),
            norm * layer.matrix(layer.inputs),
            norm * backward_workspace(layer.rows, layer.inputs),
            if layer.leaves_activated() { layer.matrix(layer.inputs) } else { 0 },
        ]
    }

    pub(super) fn new(layer: &'a Layer, device: &'a Device, pass: &'a Backward) -> Self {
        let division = layer.backward_division();
        let [of_input, of_weight] = division;
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let [bias_sums, dpre, input_parts, weight_parts, dnorm, norm_sums, activated] =
            Self::parts_of_memory(layer, &division).map(|bytes| scratch.bytes(bytes));
        let memory = Memory {
            bias_sums,
            dpre: if layer.has_epilogue() { dpre } else { pass.dout },
            input_parts,
            weight_parts,
            dnorm,
            norm_sums,
            activated: if layer.leaves_activated() { activated } else { Pointer::NULL },
            bias_tickets: scratch.tickets(layer.bias_tickets()),
            input_tickets: scratch.tickets(of_input.tickets()),
            weight_tickets: scratch.tickets(of_weight.tickets()),
            turns: scratch.tickets(layer.turns()),
        };
        Self { layer, device, pass, of_input, of_weight, memory }
    }

    pub(super) fn queue(&self) -> Result<()> {
        let Gradients { bias, residual, .. } = self.pass.gradients;
        let (dbias, dresidual) = (slot(bias), slot(residual));
        match self.layer.has_epilogue() {
            true => {
                self.queue_epilogue(dbias, dresidual)?;
                self.queue_products(UNWANTED, UNWANTED)?;
            }
            false => self.queue_products(dbias, dresidual)?,
        }
        match self.layer.norm {
            None => Ok(()),
            Some(_) => self.queue_norm(),
        }
    }

    /// `dpre`, and the gradients of bias and residual.
    fn queue_epilogue(&self, dbias: Slot, dresidual: Slot) -> Result<()> {
        let (pass, layer) = (self.pass, self.layer);
        let kernel = match layer.precision {
            Precision::F32 => Kernel::LinearBackwardEpilogueF32,
            Precision::Bf16 => Kernel::LinearBackwardEpilogueBf16,
        };
        let saved = match layer.activation {
            NO_ACTIVATION => Pointer::NULL,
            _ => pass.saved,
        };
        let Memory { dpre, bias_sums, bias_tickets, .. } = self.memory;
        let pointers =
            [pass.dout, saved, dpre, dresidual.0, dbias.0, bias_sums, bias_tickets].into_iter();
        let counts = [layer.rows, layer.outputs, layer.chunks(), layer.activation];
        let adds = [dbias.1, dresidual.1];
        let arguments = pointers.fold(Arguments::new(), Arguments::pointer);
        let arguments = counts
            .into_iter()
            .chain(adds)
            .fold(arguments, Arguments::count)
            .drop(layer.drop, layer.rows / layer.samples, pass.random)
            .structure();
        let layout = Layout { shared: COLUMNS_SHARED, ..Layout::row(layer.column_blocks(), 256) };
        self.device.launch(kernel, layout, &arguments)
    }

    /// The gradients of the product's operands, and what the epilogue has left.
    fn queue_products(&self, dbias: Slot, dresidual: Slot) -> Result<()> {
        let (dinp, dweight) = (self.product_gradient(), slot(self.pass.gradients.weight));
        let blocks = [
            (is_wanted(dinp), self.of_input.blocks()),
            (is_wanted(dweight), self.of_weight.blocks()),
            (is_wanted(dbias) || is_wanted(dresidual), self.layer.column_blocks()),
        ];
        let blocks = blocks.iter().filter(|(wanted, _)| *wanted).map(|(_, blocks)| blocks).sum();
        if blocks == 0 {
            return Ok(());
        }
        let arguments = self.arguments_of_products(dinp, dweight, dbias, dresidual);
        let tile = self.of_input.tile;
        let layout = tile.layout(blocks, self.layer.norm.is_some());
        self.device.launch(tile.choose(self.kernels_of_products()), layout, &arguments)
    }

    /// For f32, bf16 and small tiles of bf16.
    fn kernels_of_products(&self) -> [Kernel; 3] {
        let drops = self.layer.drop.is_some() && !self.layer.has_epilogue();
        match (self.layer.norm, self.layer.input_of, drops) {
            (_, Some(_), _) => {
                [Kernel::MlpBackwardF32, Kernel::MlpBackwardBf16, Kernel::MlpBackwardSmallBf16]
            }
            (Some(_), None, _) => [
                Kernel::LinearBackwardNormF32,
                Kernel::LinearBackwardNormBf16,
                Kernel::LinearBackwardNormSmallBf16,
            ],
            (None, None, true) => [
                Kernel::LinearBackwardDropF32,
                Kernel::LinearBackwardDropBf16,
                Kernel::LinearBackwardDropSmallBf16,
            ],
            (None, None, false) => [
                Kernel::LinearBackwardF32,
                Kernel::LinearBackwardBf16,
                Kernel::LinearBackwardSmallBf16,
            ],
        }
    }

    /// Where the gradient of the product's first operand goes: `dinp`, or what layer norm goes on from.
    fn product_gradient(&self) -> Slot {
        let Gradients { inp, norm, .. } = self.pass.gradients;
        match self.layer.norm {
            None => slot(inp),
            Some(_) if inp.or(norm[0]).or(norm[1]).is_some() => (self.memory.dnorm, 0),
            Some(_) => UNWANTED,
        }
    }

    /// The structure `LinearBackward` of kernels.
    fn arguments_of_products(
        &self,
        dinp: Slot,
        dweight: Slot,
        dbias: Slot,
        dresidual: Slot,
    ) -> Arguments {
        let Self { layer, pass, memory, of_input, of_weight, .. } = self;
        let read = [memory.dpre, pass.inp].into_iter().chain(pass.norm).chain(pass.statistics);
        let gradients = [dinp, dweight, dbias, dresidual];
        let sums = [memory.input_parts, memory.weight_parts, memory.bias_sums];
        let tickets = [memory.input_tickets, memory.weight_tickets, memory.bias_tickets];
        let weight_first = of_weight.latency() >= of_input.latency();
        let counts = [
            layer.rows,
            layer.outputs,
            layer.inputs,
            of_input.parts,
            of_weight.parts,
            layer.chunks(),
            usize::from(weight_first),
            layer.input_of.unwrap_or(NO_ACTIVATION),
        ];
        let arguments = read
            .chain([pass.weight])
            .chain(gradients.map(|(values, _)| values))
            .chain(sums)
            .chain(tickets)
            .chain([memory.activated, memory.turns])
            .fold(Arguments::new(), Arguments::pointer);
        counts
            .into_iter()
            .chain(gradients.map(|(_, add)| add))
            .fold(arguments, Arguments::count)
            .drop(layer.drop, layer.rows / layer.samples, pass.random)
            .structure()
    }

    /// Layer norm's backward pass, which goes on from the gradient of what the norm makes.
    fn queue_norm(&self) -> Result<()> {
        let (layer, pass) = (self.layer, self.pass);
        let Gradients { inp: dinp, norm: [dweight, dbias], .. } = pass.gradients;
        let of_norm = layer_norm::Backward {
            precision: layer.precision,
            rows: layer.rows,
            channels: layer.inputs,
            dout: self.memory.dnorm,
            inp: pass.inp,
            weight: pass.norm[0],
            mean: pass.statistics[0],
            rstd: pass.statistics[1],
            dinp,
            dweight,
            dbias,
            workspace: self.memory.norm_sums,
            tickets: pass.tickets,
        };
        layer_norm::queue_backward(self.device, &of_norm)
    }
}
