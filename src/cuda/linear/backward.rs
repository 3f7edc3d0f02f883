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
    bias_tickets: Pointer,
    input_tickets: Pointer,
    weight_tickets: Pointer,
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
    fn parts_of_memory(layer: &Layer, [of_input, of_weight]: &[Divided; 2]) -> [usize; 6] {
        let norm = usize::from(layer.norm.is_some());
        [
            layer.bias_sums(),
            if layer.has_epilogue() { layer.matrix(layer.outputs) } else { 0 },
            of_input.memory(),
            of_weight.memory(),
            norm * layer.matrix(layer.inputs),
            norm * backward_workspace(layer.rows, layer.inputs),
        ]
    }

    pub(super) fn new(layer: &'a Layer, device: &'a Device, pass: &'a Backward) -> Self {
        let division = layer.backward_division();
        let [of_input, of_weight] = division;
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let [bias_sums, dpre, input_parts, weight_parts, dnorm, norm_sums] =
            Self::parts_of_memory(layer, &division).map(|bytes| scratch.bytes(bytes));
        let memory = Memory {
            bias_sums,
            dpre: if layer.has_epilogue() { dpre } else { pass.dout },
            input_parts,
            weight_parts,
            dnorm,
            norm_sums,
            bias_tickets: scratch.tickets(layer.bias_tickets()),
            input_tickets: scratch.tickets(of_input.tickets()),
            weight_tickets: scratch.tickets(of_weight.tickets()),
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
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(saved)
            .pointer(self.memory.dpre)
            .pointer(dbias.0)
            .pointer(dresidual.0)
            .pointer(self.memory.bias_sums)
            .pointer(self.memory.bias_tickets)
            .count(layer.rows)
            .count(layer.outputs)
            .count(layer.chunks())
            .count(layer.activation)
            .drop(layer.drop, layer.rows / layer.samples, pass.random)
            .count(dbias.1)
            .count(dresidual.1);
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
        let drops = self.layer.drop.is_some() && !self.layer.has_epilogue();
        let arguments = self.read_by_products();
        let arguments = self.written_by_products(arguments, dinp, dweight, dbias, dresidual);
        let Layer { drop, rows, samples, input_of, .. } = *self.layer;
        let arguments = match input_of {
            Some(activation) => arguments.count(activation),
            None => arguments,
        };
        let arguments = match drops || input_of.is_some() {
            true => arguments.drop(drop, rows / samples, self.pass.random),
            false => arguments,
        };
        let adds = [dinp, dweight, dbias, dresidual].map(|(_, add)| add);
        let arguments = adds.into_iter().fold(arguments, Arguments::count);
        let tile = self.of_input.tile;
        let layout = tile.layout(blocks, self.layer.norm.is_some());
        self.device.launch(tile.choose(self.kernels_of_products(drops)), layout, &arguments)
    }

    /// For f32, bf16 and small tiles of bf16; `drops` says whether they drop of `dout` themselves.
    fn kernels_of_products(&self, drops: bool) -> [Kernel; 3] {
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

    fn read_by_products(&self) -> Arguments {
        let pass = self.pass;
        let read = Arguments::new().pointer(self.memory.dpre).pointer(pass.inp);
        let of_norm =
            self.layer.norm.iter().flat_map(|_| pass.norm.into_iter().chain(pass.statistics));
        of_norm.fold(read, Arguments::pointer).pointer(pass.weight)
    }

    fn written_by_products(
        &self,
        arguments: Arguments,
        dinp: Slot,
        dweight: Slot,
        dbias: Slot,
        dresidual: Slot,
    ) -> Arguments {
        let Self { layer, memory, of_input, of_weight, .. } = self;
        let weight_first = of_weight.latency() >= of_input.latency();
        arguments
            .pointer(dinp.0)
            .pointer(dweight.0)
            .pointer(dbias.0)
            .pointer(dresidual.0)
            .pointer(memory.input_parts)
            .pointer(memory.weight_parts)
            .pointer(memory.bias_sums)
            .pointer(memory.input_tickets)
            .pointer(memory.weight_tickets)
            .pointer(memory.bias_tickets)
            .count(layer.rows)
            .count(layer.outputs)
            .count(layer.inputs)
            .count(of_input.parts)
            .count(of_weight.parts)
            .count(layer.chunks())
            .count(usize::from(weight_first))
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
