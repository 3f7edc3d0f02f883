//! The two layers on a device: the linear layer's launches, over what is hidden between them in scratch memory.

use arrayvec::ArrayVec;

use super::{Mlp, Residual, Sizes};
use crate::cuda::arguments::Pointer;
use crate::cuda::linear::{Activation, Backward, Forward, Gradients, Layer, Scratch};
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaInput, OnCuda, Workspace};
use crate::write::Write;

/// Both layers without what lies where.
struct Layers {
    first: Layer,
    second: Layer,
}

impl Layers {
    fn new(op: &Mlp, types: &[&TensorType], precision: Precision) -> Self {
        let Sizes { samples, rows, inputs, hidden, outputs } = Sizes::of(types);
        let (norm, activation) = (op.norm, op.activation.into());
        let (outputs_of_first, drop) = (hidden, op.drop.map(Into::into));
        let first = Layer {
            precision,
            samples,
            rows,
            inputs,
            outputs: outputs_of_first,
            norm,
            activation,
            drop: None,
        };
        let (norm, activation) = (None, Activation::None);
        let second = Layer { inputs: hidden, outputs, norm, activation, drop, ..first };
        Self { first, second }
    }

    /// Bytes of what is hidden.
    fn hidden(&self) -> usize {
        self.first.rows * self.first.outputs * self.first.precision.bytes()
    }

    /// Bytes of scratch memory forward: what is hidden, and what the layers take.
    fn forward_memory(&self) -> [usize; 2] {
        [self.hidden(), self.first.forward_workspace().max(self.second.forward_workspace())]
    }

    /// The same backward: `pre` unless it is kept, `hidden`, its gradient, and what the layers take.
    fn backward_memory(&self, keeps: bool) -> [usize; 4] {
        let hidden = self.hidden();
        let first = self.first.forward_workspace().max(self.first.backward_workspace());
        let of_layers = first.max(self.second.backward_workspace());
        [if keeps { 0 } else { hidden }, hidden, hidden, of_layers]
    }
}

fn total<const N: usize>(memory: [usize; N]) -> usize {
    memory.into_iter().map(Scratch::rounded).sum()
}

impl OnCuda for Mlp {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        let of_norm = self.norm_input().into_iter().flat_map(|i| [i, i + 1]);
        (1..5).chain(of_norm).collect()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let layers = Layers::new(self, inputs, precision);
        Workspace {
            forward: total(layers.forward_memory()),
            backward: total(layers.backward_memory(self.keep_hidden)),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        if self.packed {
            return Err(Error::usage("mlp: weights are packed on the CPU only"));
        }
        let layers = Layers::new(self, &pass.types, pass.precision);
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let [hidden, workspace] = layers.forward_memory().map(|bytes| scratch.bytes(bytes));
        let pre = if self.keep_hidden { pass.kept(self.norms()) } else { Pointer::NULL };
        let statistics = match self.norm {
            Some(_) => [pass.kept(0), pass.kept(1)],
            None => [Pointer::NULL; 2],
        };
        let nothing = Pointer::NULL;
        let first = Forward {
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics,
            weight: pass.inputs[1].working,
            bias: pass.inputs[2].full,
            residual: nothing,
            out: hidden,
            pre,
            workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        layers.first.queue_forward(pass.device, &first)?;
        let second = Forward {
            inp: hidden,
            weight: pass.inputs[3].working,
            bias: pass.inputs[4].full,
            residual: self.residual(&pass.inputs),
            out: pass.out,
            pre: nothing,
            ..first
        };
        layers.second.queue_forward(pass.device, &second)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let layers = Layers::new(self, &pass.types, pass.precision);
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let memory = layers.backward_memory(self.keep_hidden);
        let [pre, hidden, dhidden, workspace] = memory.map(|bytes| scratch.bytes(bytes));
        let again = Forward {
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics: [Pointer::NULL; 2],
            weight: pass.inputs[1].working,
            bias: pass.inputs[2].full,
            residual: Pointer::NULL,
            out: hidden,
            pre: if self.keep_hidden { Pointer::NULL } else { pre },
            workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        layers.first.queue_forward(pass.device, &again)?;
        let pre = if self.keep_hidden { pass.kept[self.norms()] } else { pre };
        let (dinp, dresidual) = self.gradients_of_sum(pass);
        let norm = self.norm_input();
        let of_first = Gradients {
            inp: dinp,
            weight: pass.wanted(Some(1)),
            norm: [norm, norm.map(|i| i + 1)].map(|i| pass.wanted(i)),
            bias: pass.wanted(Some(2)),
            residual: None,
        };
        let second = Backward {
            dout: pass.dout,
            inp: hidden,
            norm: [Pointer::NULL; 2],
            statistics: [Pointer::NULL; 2],
            weight: pass.inputs[3].working,
            saved: Pointer::NULL,
            gradients: Gradients {
                inp: of_first.any().then_some((dhidden, Write::Set)),
                weight: pass.wanted(Some(3)),
                norm: [None, None],
                bias: pass.wanted(Some(4)),
                residual: dresidual,
            },
            workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        layers.second.queue_backward(pass.device, &second)?;
        if !of_first.any() {
            return Ok(());
        }
        let first = Backward {
            dout: dhidden,
            inp: pass.inputs[0].working,
            norm: again.norm,
            statistics: norm.map_or([Pointer::NULL; 2], |_| [pass.kept[0], pass.kept[1]]),
            weight: pass.inputs[1].working,
            saved: pre,
            gradients: of_first,
            ..second
        };
        layers.first.queue_backward(pass.device, &first)
    }
}

/// Where a gradient goes, if it is wanted.
type Wanted = Option<(Pointer, Write)>;

impl Mlp {
    /// Weight and bias of the norm, null without one.
    fn norm_parameters(&self, inputs: &[CudaInput]) -> [Pointer; 2] {
        self.norm_input().map_or([Pointer::NULL; 2], |i| [inputs[i].full, inputs[i + 1].full])
    }

    fn residual(&self, inputs: &[CudaInput]) -> Pointer {
        match (self.residual, self.residual_input()) {
            (Residual::Inp, _) => inputs[0].working,
            (_, Some(i)) => inputs[i].working,
            (_, None) => Pointer::NULL,
        }
    }

    /// Where the gradients of `inp` through the layers and of the residual go: where both are one tensor the layers'
    /// is added to the residual's, which comes first.
    fn gradients_of_sum(&self, pass: &CudaBackward<'_>) -> (Wanted, Wanted) {
        let dinp = pass.wanted(Some(0));
        match self.residual {
            Residual::Inp => (dinp.map(|(values, _)| (values, Write::Add)), dinp),
            Residual::None | Residual::Other => (dinp, pass.wanted(self.residual_input())),
        }
    }
}
