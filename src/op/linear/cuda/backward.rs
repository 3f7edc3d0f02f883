//! What a backward pass of the linear layer queues.

use super::division::{Divided, Scratch};
use super::{Linear, Sizes, norm, number};
use crate::cpu::activation::Activation;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::layer_norm::backward_workspace;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::device::CudaBackward;

/// Shared memory of a block that goes through `dout` number by number.
const COLUMNS_SHARED: u32 = 8 << 10;

/// A backward pass, with what its launches share.
pub struct Work<'a> {
    op: &'a Linear,
    pass: &'a CudaBackward<'a>,
    sizes: &'a Sizes,
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

/// A gradient that may not be wanted, then null, and 1 if it is added.
type Slot = (Pointer, usize);
const UNWANTED: Slot = (Pointer::NULL, 0);

fn is_wanted((values, _): Slot) -> bool {
    values != Pointer::NULL
}

impl<'a> Work<'a> {
    /// Bytes of scratch memory.
    pub fn bytes(op: &Linear, sizes: &Sizes) -> usize {
        Self::parts_of_memory(op, sizes, &sizes.backward())
            .iter()
            .copied()
            .map(Scratch::rounded)
            .sum()
    }

    /// In the order of [`Memory`].
    fn parts_of_memory(
        op: &Linear,
        sizes: &Sizes,
        [of_input, of_weight]: &[Divided; 2],
    ) -> [usize; 6] {
        let norm = usize::from(op.norm.is_some());
        [
            sizes.bias_sums(),
            if op.has_epilogue() { sizes.matrix(sizes.outputs) } else { 0 },
            of_input.memory(),
            of_weight.memory(),
            norm * sizes.matrix(sizes.inputs),
            norm * backward_workspace(sizes.rows, sizes.inputs),
        ]
    }

    pub fn new(op: &'a Linear, pass: &'a CudaBackward<'a>, sizes: &'a Sizes) -> Self {
        let division = sizes.backward();
        let [of_input, of_weight] = division;
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let [bias_sums, dpre, input_parts, weight_parts, dnorm, norm_sums] =
            Self::parts_of_memory(op, sizes, &division).map(|bytes| scratch.bytes(bytes));
        let memory = Memory {
            bias_sums,
            dpre: if op.has_epilogue() { dpre } else { pass.dout },
            input_parts,
            weight_parts,
            dnorm,
            norm_sums,
            bias_tickets: scratch.tickets(sizes.bias_tickets()),
            input_tickets: scratch.tickets(of_input.tickets()),
            weight_tickets: scratch.tickets(of_weight.tickets()),
        };
        Self { op, pass, sizes, of_input, of_weight, memory }
    }

    fn gradient(&self, input: Option<usize>) -> Slot {
        input.map_or(UNWANTED, |i| self.pass.gradient(i))
    }

    pub fn queue(&self) -> Result<()> {
        let dbias = self.gradient(self.op.bias_input());
        let dresidual = self.gradient(self.op.residual_input());
        match self.op.has_epilogue() {
            true => {
                self.queue_epilogue(dbias, dresidual)?;
                self.queue_products(UNWANTED, UNWANTED)?;
            }
            false => self.queue_products(dbias, dresidual)?,
        }
        match self.op.norm_input() {
            None => Ok(()),
            Some(i) => {
                norm::queue(self.pass, self.sizes, i, self.memory.dnorm, self.memory.norm_sums)
            }
        }
    }

    /// `dpre`, and the gradients of bias and residual.
    fn queue_epilogue(&self, dbias: Slot, dresidual: Slot) -> Result<()> {
        let (pass, sizes) = (self.pass, self.sizes);
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LinearBackwardEpilogueF32,
            Precision::Bf16 => Kernel::LinearBackwardEpilogueBf16,
        };
        let saved = match self.op.activation {
            Activation::None => Pointer::NULL,
            Activation::Relu => pass.out,
            Activation::Gelu => pass.kept[self.op.norms()],
        };
        let arguments = Arguments::new()
            .pointer(pass.dout)
            .pointer(saved)
            .pointer(self.memory.dpre)
            .pointer(dbias.0)
            .pointer(dresidual.0)
            .pointer(self.memory.bias_sums)
            .pointer(self.memory.bias_tickets)
            .count(sizes.rows)
            .count(sizes.outputs)
            .count(sizes.chunks())
            .count(number(self.op.activation));
        let arguments = self.op.append_drop(arguments, sizes, pass.random);
        let arguments = arguments.count(dbias.1).count(dresidual.1);
        let layout = Layout { shared: COLUMNS_SHARED, ..Layout::row(sizes.column_blocks(), 256) };
        pass.device.launch(kernel, layout, &arguments)
    }

    /// The gradients of the product's operands, and what the epilogue has left.
    fn queue_products(&self, dbias: Slot, dresidual: Slot) -> Result<()> {
        let (dinp, dweight) = (self.product_gradient(), self.pass.gradient(1));
        let blocks = [
            (is_wanted(dinp), self.of_input.blocks()),
            (is_wanted(dweight), self.of_weight.blocks()),
            (is_wanted(dbias) || is_wanted(dresidual), self.sizes.column_blocks()),
        ];
        let blocks = blocks.iter().filter(|(wanted, _)| *wanted).map(|(_, blocks)| blocks).sum();
        if blocks == 0 {
            return Ok(());
        }
        let drops = self.op.drop.is_some() && !self.op.has_epilogue();
        let kernels = match (self.op.norm, drops) {
            (Some(_), _) => [
                Kernel::LinearBackwardNormF32,
                Kernel::LinearBackwardNormBf16,
                Kernel::LinearBackwardNormSmallBf16,
            ],
            (None, true) => [
                Kernel::LinearBackwardDropF32,
                Kernel::LinearBackwardDropBf16,
                Kernel::LinearBackwardDropSmallBf16,
            ],
            (None, false) => [
                Kernel::LinearBackwardF32,
                Kernel::LinearBackwardBf16,
                Kernel::LinearBackwardSmallBf16,
            ],
        };
        let arguments = self.read_by_products();
        let arguments = self.written_by_products(arguments, dinp, dweight, dbias, dresidual);
        let arguments = match drops {
            true => self.op.append_drop(arguments, self.sizes, self.pass.random),
            false => arguments,
        };
        let adds = [dinp, dweight, dbias, dresidual].map(|(_, add)| add);
        let arguments = adds.into_iter().fold(arguments, Arguments::count);
        let tile = self.of_input.tile;
        let layout = tile.layout(blocks, self.op.norm.is_some());
        self.pass.device.launch(tile.choose(kernels), layout, &arguments)
    }

    /// Where the gradient of the product's first operand goes: `dinp`, or what layer norm goes on from.
    fn product_gradient(&self) -> Slot {
        match self.op.norm_input() {
            None => self.pass.gradient(0),
            Some(i) => {
                let wanted = [0, i, i + 1].iter().any(|&i| self.pass.dinputs[i].is_some());
                if wanted { (self.memory.dnorm, 0) } else { UNWANTED }
            }
        }
    }

    fn read_by_products(&self) -> Arguments {
        let inputs = &self.pass.inputs;
        let read = Arguments::new().pointer(self.memory.dpre).pointer(inputs[0].working);
        let read = match self.op.norm_input() {
            None => read,
            Some(i) => read
                .pointer(inputs[i].full)
                .pointer(inputs[i + 1].full)
                .pointer(self.pass.kept[0])
                .pointer(self.pass.kept[1]),
        };
        read.pointer(inputs[1].working)
    }

    fn written_by_products(
        &self,
        arguments: Arguments,
        dinp: Slot,
        dweight: Slot,
        dbias: Slot,
        dresidual: Slot,
    ) -> Arguments {
        let Self { sizes, memory, of_input, of_weight, .. } = self;
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
            .count(sizes.rows)
            .count(sizes.outputs)
            .count(sizes.inputs)
            .count(of_input.parts)
            .count(of_weight.parts)
            .count(sizes.chunks())
            .count(usize::from(weight_first))
    }
}
