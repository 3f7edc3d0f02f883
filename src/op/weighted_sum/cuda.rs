//! Weighted sum of scalars on a device: one kernel of one thread in each direction, the same in every precision.

use arrayvec::ArrayVec;

use super::WeightedSum;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

impl OnCuda for WeightedSum {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let input = |i: usize| pass.inputs.get(i).map_or(Pointer::NULL, |input| input.working);
        let arguments = (0..MAX_INPUTS).fold(Arguments::new(), |to, i| to.pointer(input(i)));
        let arguments = self.with_weights(arguments).pointer(pass.out).count(self.weights.len());
        pass.device.launch(Kernel::WeightedSumForwardF32, Layout::row(1, 1), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let gradients: [_; MAX_INPUTS] = std::array::from_fn(|i| pass.gradient(i));
        let arguments = Arguments::new().pointer(pass.dout);
        let arguments = gradients.iter().fold(arguments, |to, &(values, _)| to.pointer(values));
        let adds = gradients.iter().enumerate().map(|(i, &(_, add))| add << i).sum();
        let arguments = self.with_weights(arguments).count(adds);
        pass.device.launch(Kernel::WeightedSumBackwardF32, Layout::row(1, 1), &arguments)
    }
}

impl WeightedSum {
    /// The weights as arguments, zeros for those that are not there.
    fn with_weights(&self, arguments: Arguments) -> Arguments {
        let weight = |i: usize| self.weights.get(i).copied().unwrap_or(0.0) as f32;
        (0..MAX_INPUTS).fold(arguments, |to, i| to.float(weight(i)))
    }
}
