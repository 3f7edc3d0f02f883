//! What a forward pass queues.

use super::super::{Mlp, Sizes};
use super::hidden_bytes;
use crate::cuda::arguments::{Arguments, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::linear::Forward;
use crate::cuda::linear::division::{Divided, Scratch, divide_mlp};
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::device::{CudaForward, TICKETS};

/// Bytes of shared memory that a block has on every device from compute capability 8.0 on: cards for graphics have the
/// least, which is too little for the wider kernel.
const LEAST_SHARED: u32 = 99 << 10;

impl Mlp {
    /// How the one launch is divided, if there is one.
    fn division(sizes: &Sizes, precision: Precision) -> Option<Divided> {
        let &Sizes { rows, inputs, hidden, outputs, .. } = sizes;
        divide_mlp([rows, inputs, hidden, outputs], precision, TICKETS)
    }

    /// Bytes of scratch memory: what is hidden, unless it stays in registers on every device, and parts of sums.
    pub(super) fn forward_memory(&self, sizes: &Sizes, precision: Precision) -> [usize; 2] {
        let division = Self::division(sizes, precision);
        let at_once = division.map_or(0, |division| division.memory());
        if division.is_some_and(|division| division.tile.fits(LEAST_SHARED)) {
            return [0, at_once];
        }
        let layers = [self.first_layer(sizes, precision), self.second_layer(sizes, precision)];
        let [first, second] = layers.map(|layer| layer.forward_workspace());
        [hidden_bytes(sizes, precision), first.max(second).max(at_once)]
    }

    pub(super) fn queue_forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types);
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let memory = self.forward_memory(&sizes, pass.precision);
        let [hidden, parts] = memory.map(|bytes| scratch.bytes(bytes));
        let fits = |division: &Divided| division.tile.fits(pass.device.most_shared());
        match Self::division(&sizes, pass.precision).filter(fits) {
            Some(division) => self.queue_at_once(pass, &sizes, &division, parts),
            None => self.queue_layers(pass, &sizes, hidden, parts),
        }
    }

    /// Where mean, rstd and `pre` are left; null for what is not.
    fn left(&self, pass: &CudaForward<'_>) -> ([Pointer; 2], Pointer) {
        let pre = if self.keep_hidden { pass.kept(self.norms()) } else { Pointer::NULL };
        match self.norm {
            Some(_) => ([pass.kept(0), pass.kept(1)], pre),
            None => ([Pointer::NULL; 2], pre),
        }
    }

    fn queue_at_once(
        &self,
        pass: &CudaForward<'_>,
        sizes: &Sizes,
        division: &Divided,
        parts: Pointer,
    ) -> Result<()> {
        let inputs = &pass.inputs;
        let (statistics, pre) = self.left(pass);
        let layers = [inputs[1].working, inputs[2].full, inputs[3].working, inputs[4].full];
        let around = [self.residual(inputs), pass.out, pre, parts, pass.tickets];
        let arguments = [inputs[0].working]
            .into_iter()
            .chain(self.norm_parameters(inputs))
            .chain(statistics)
            .chain(layers)
            .chain(around)
            .fold(Arguments::new(), Arguments::pointer)
            .float(self.norm.unwrap_or(0.0) as f32);
        let &Sizes { samples, rows, inputs, hidden, outputs } = sizes;
        let activation = self.activation.number();
        let drop = self.second_layer(sizes, pass.precision).drop;
        let arguments = [rows, inputs, hidden, outputs, division.parts, activation]
            .into_iter()
            .fold(arguments, Arguments::count)
            .drop(drop, rows / samples, pass.random)
            .structure();
        let kernel = division.tile.choose([Kernel::MlpForwardBf16, Kernel::MlpForwardWideBf16]);
        let layout = division.tile.layout(division.blocks(), false);
        pass.device.launch(kernel, layout, &arguments)
    }

    /// One layer after the other.
    fn queue_layers(
        &self,
        pass: &CudaForward<'_>,
        sizes: &Sizes,
        hidden: Pointer,
        workspace: Pointer,
    ) -> Result<()> {
        let (statistics, pre) = self.left(pass);
        let first = Forward {
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics,
            weight: pass.inputs[1].working,
            bias: pass.inputs[2].full,
            residual: Pointer::NULL,
            out: hidden,
            pre,
            workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        let second = Forward {
            inp: hidden,
            weight: pass.inputs[3].working,
            bias: pass.inputs[4].full,
            residual: self.residual(&pass.inputs),
            out: pass.out,
            pre: Pointer::NULL,
            ..first
        };
        self.first_layer(sizes, pass.precision).queue_forward(pass.device, &first)?;
        self.second_layer(sizes, pass.precision).queue_forward(pass.device, &second)
    }
}
