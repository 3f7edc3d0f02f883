//! Linear layer on a device: the launches that it shares with operations that have such a layer in them.

use arrayvec::ArrayVec;

use super::Linear;
use crate::cpu::activation::Activation;
use crate::cuda::arguments::Pointer;
use crate::cuda::kernels::Module;
use crate::cuda::linear::{Backward, Forward, Gradients, Layer};
use crate::cuda::pass::CudaDropout;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaInput, OnCuda, Workspace};

impl OnCuda for Linear {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        let of_norm = self.norm_input().into_iter().flat_map(|i| [i, i + 1]);
        std::iter::once(1).chain(of_norm).chain(self.bias_input()).collect()
    }

    fn modules(&self) -> ArrayVec<Module, 3> {
        let of_norm = self.norm.map(|_| Module::LayerNorm);
        [Module::Linear].into_iter().chain(of_norm).collect()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let layer = self.on_device(inputs, precision);
        let (forward, backward) = (layer.forward_workspace(), layer.backward_workspace());
        Workspace { forward, backward }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        if self.packed {
            return Err(Error::usage("linear: weights are packed on the CPU only"));
        }
        let of_layer = Forward {
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics: match self.norm {
                Some(_) => [pass.kept(0), pass.kept(1)],
                None => [Pointer::NULL; 2],
            },
            weight: pass.inputs[1].working,
            bias: self.bias_input().map_or(Pointer::NULL, |i| pass.inputs[i].full),
            residual: self.residual_input().map_or(Pointer::NULL, |i| pass.inputs[i].working),
            out: pass.out,
            pre: pass.kept(self.norms()),
            workspace: pass.workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        self.on_device(&pass.types, pass.precision).queue_forward(pass.device, &of_layer)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let norm = self.norm_input();
        let of_layer = Backward {
            dout: pass.dout,
            inp: pass.inputs[0].working,
            norm: self.norm_parameters(&pass.inputs),
            statistics: norm.map_or([Pointer::NULL; 2], |_| [pass.kept[0], pass.kept[1]]),
            weight: pass.inputs[1].working,
            saved: match self.activation {
                Activation::None => Pointer::NULL,
                Activation::Relu => pass.out,
                Activation::Gelu => pass.kept[self.norms()],
            },
            gradients: Gradients {
                inp: pass.wanted(Some(0)),
                weight: pass.wanted(Some(1)),
                norm: [norm, norm.map(|i| i + 1)].map(|i| pass.wanted(i)),
                bias: pass.wanted(self.bias_input()),
                residual: pass.wanted(self.residual_input()),
            },
            workspace: pass.workspace,
            tickets: pass.tickets,
            random: pass.random,
        };
        self.on_device(&pass.types, pass.precision).queue_backward(pass.device, &of_layer)
    }
}

impl Linear {
    fn on_device(&self, types: &[&TensorType], precision: Precision) -> Layer {
        let (inp, weight) = (&types[0].shape, &types[1].shape);
        Layer {
            precision,
            samples: inp.extents()[0],
            rows: inp.rows(),
            inputs: inp.channels(),
            outputs: weight.extents()[0],
            norm: self.norm,
            activation: self.activation.number(),
            drop: self.drop.map(|d| CudaDropout::new(d.per_sample, d.least_word(), d.rate)),
            input_of: None,
        }
    }

    /// Weight and bias of the norm, null without one.
    fn norm_parameters(&self, inputs: &[CudaInput]) -> [Pointer; 2] {
        self.norm_input().map_or([Pointer::NULL; 2], |i| [inputs[i].full, inputs[i + 1].full])
    }
}
