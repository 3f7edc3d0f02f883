//! An operation with gradients of some of its inputs only.

use arrayvec::ArrayVec;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::op::contract::{
    Backward, Forward, MAX_INPUTS, OnCpu, Operation, Signature, TensorType,
};
use crformer::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};
use crformer::scalar::Scalar;

/// `wanted` says of each input whether it has a gradient.
#[derive(Clone, Debug)]
pub struct Partly<O> {
    pub op: O,
    pub wanted: Vec<bool>,
}

impl<O: Operation> Operation for Partly<O> {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let signature = self.op.signature(inputs)?;
        Ok(Signature { differentiable: self.wanted.clone(), ..signature })
    }
}

impl<S: Scalar, O: OnCpu<S>> OnCpu<S> for Partly<O> {
    fn forward(&self, pass: Forward<'_, S>) {
        OnCpu::forward(&self.op, pass);
    }

    fn backward(&self, pass: Backward<'_, S>) {
        OnCpu::backward(&self.op, pass);
    }
}

impl<O: OnCuda> OnCuda for Partly<O> {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        self.op.parameters()
    }

    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace {
        OnCuda::workspace(&self.op, inputs, precision)
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        OnCuda::forward(&self.op, pass)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        OnCuda::backward(&self.op, pass)
    }
}
