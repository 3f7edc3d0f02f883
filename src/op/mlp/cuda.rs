//! The two layers on a device: forward one launch for bf16 and few channels, else two; backward one for what is hidden
//! unless it was kept, one through the second layer, and the first layer's own.

mod backward;
mod forward;

use arrayvec::ArrayVec;

use super::{Mlp, Residual, Sizes};
use crate::cuda::arguments::Pointer;
use crate::cuda::kernels::Module;
use crate::cuda::linear::division::Scratch;
use crate::cuda::linear::{Layer, NO_ACTIVATION};
use crate::cuda::pass::CudaDropout;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaInput, OnCuda, Workspace};

impl OnCuda for Mlp {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        let of_norm = self.norm_input().into_iter().flat_map(|i| [i, i + 1]);
        (1..5).chain(of_norm).collect()
    }

    fn modules(&self) -> ArrayVec<Module, 3> {
        let of_norm = self.norm.map(|_| Module::LayerNorm);
        [Module::Mlp, Module::Linear].into_iter().chain(of_norm).collect()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        let sizes = Sizes::of(inputs);
        let bytes = |memory: &[usize]| memory.iter().copied().map(Scratch::rounded).sum();
        Workspace {
            forward: bytes(&self.forward_memory(&sizes, precision)),
            backward: bytes(&self.backward_memory(&sizes, precision)),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        if self.packed {
            return Err(Error::usage("mlp: weights are packed on the CPU only"));
        }
        self.queue_forward(pass)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        self.queue_backward(pass)
    }
}

impl Mlp {
    /// `activation(norm(inp) weight1^T + bias1)`
    fn first_layer(&self, sizes: &Sizes, precision: Precision) -> Layer {
        Layer {
            precision,
            samples: sizes.samples,
            rows: sizes.rows,
            inputs: sizes.inputs,
            outputs: sizes.hidden,
            norm: self.norm,
            activation: self.activation.number(),
            drop: None,
            input_of: None,
        }
    }

    /// `residual + drop(hidden weight2^T + bias2)`; backward goes through the activation before it.
    fn second_layer(&self, sizes: &Sizes, precision: Precision) -> Layer {
        Layer {
            inputs: sizes.hidden,
            outputs: sizes.outputs,
            norm: None,
            activation: NO_ACTIVATION,
            drop: self.drop.map(|d| CudaDropout::new(d.per_sample, d.least_word(), d.rate)),
            input_of: Some(self.activation.number()),
            ..self.first_layer(sizes, precision)
        }
    }

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
}

/// Bytes of what is hidden.
fn hidden_bytes(sizes: &Sizes, precision: Precision) -> usize {
    sizes.rows * sizes.hidden * precision.bytes()
}
