//! What a backward pass queues.

use super::super::{Mlp, Residual, Sizes};
use super::hidden_bytes;
use crate::cuda::arguments::Pointer;
use crate::cuda::linear::division::Scratch;
use crate::cuda::linear::{Backward, Forward, Gradients, Layer, NO_ACTIVATION};
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::device::CudaBackward;
use crate::write::Write;

/// Where a gradient goes, if it is wanted.
type Wanted = Option<(Pointer, Write)>;

impl Mlp {
    /// The first layer up to its activation.
    fn layer_of_pre(&self, sizes: &Sizes, precision: Precision) -> Layer {
        Layer { activation: NO_ACTIVATION, ..self.first_layer(sizes, precision) }
    }

    /// Bytes of scratch memory: `pre` unless it is kept, `dpre`, and what the layers take.
    pub(super) fn backward_memory(&self, sizes: &Sizes, precision: Precision) -> [usize; 3] {
        let hidden = hidden_bytes(sizes, precision);
        let first = self.layer_of_pre(sizes, precision);
        let second = self.second_layer(sizes, precision);
        let of_layers = first.backward_workspace().max(second.backward_workspace());
        match self.keep_hidden {
            true => [0, hidden, of_layers],
            false => [hidden, hidden, of_layers.max(first.forward_workspace())],
        }
    }

    pub(super) fn queue_backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let sizes = Sizes::of(&pass.types);
        let mut scratch = Scratch::new(pass.workspace, pass.tickets);
        let memory = self.backward_memory(&sizes, pass.precision);
        let [pre, dpre, workspace] = memory.map(|bytes| scratch.bytes(bytes));
        let pre = match self.keep_hidden {
            true => pass.kept[self.norms()],
            false => {
                self.queue_pre(pass, &sizes, pre, workspace)?;
                pre
            }
        };
        let (dinp, dresidual) = self.gradients_of_sum(pass);
        let of_first = self.gradients_of_first(pass, dinp);
        let weight = pass.wanted(Some(3));
        // The weight's gradient may need what is made beside dpre.
        let through = of_first.any() || weight.is_some();
        let of_second = Gradients {
            inp: through.then_some((dpre, Write::Set)),
            weight,
            norm: [None; 2],
            bias: pass.wanted(Some(4)),
            residual: dresidual,
        };
        let second = Backward {
            dout: pass.dout,
            inp: pre,
            norm: [Pointer::NULL; 2],
            statistics: [Pointer::NULL; 2],
            weight: pass.inputs[3].working,
            saved: Pointer::NULL,
            gradients: of_second,
            workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        self.second_layer(&sizes, pass.precision).queue_backward(pass.device, &second)?;
        let first = Backward {
            dout: dpre,
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics: match self.norm {
                Some(_) => [pass.kept[0], pass.kept[1]],
                None => [Pointer::NULL; 2],
            },
            weight: pass.inputs[1].working,
            gradients: of_first,
            ..second
        };
        self.layer_of_pre(&sizes, pass.precision).queue_backward(pass.device, &first)
    }

    fn gradients_of_first(&self, pass: &CudaBackward<'_>, dinp: Wanted) -> Gradients {
        let norm = self.norm_input();
        Gradients {
            inp: dinp,
            weight: pass.wanted(Some(1)),
            norm: [norm, norm.map(|i| i + 1)].map(|i| pass.wanted(i)),
            bias: pass.wanted(Some(2)),
            residual: None,
        }
    }

    /// `pre` once more.
    fn queue_pre(
        &self,
        pass: &CudaBackward<'_>,
        sizes: &Sizes,
        pre: Pointer,
        workspace: Pointer,
    ) -> Result<()> {
        let again = Forward {
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics: [Pointer::NULL; 2],
            weight: pass.inputs[1].working,
            bias: pass.inputs[2].full,
            residual: Pointer::NULL,
            out: pre,
            pre: Pointer::NULL,
            workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        self.layer_of_pre(sizes, pass.precision).queue_forward(pass.device, &again)
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
