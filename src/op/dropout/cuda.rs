//! Dropout on a device: one kernel in each direction, with the random numbers of the CPU.

use arrayvec::ArrayVec;

use super::Dropout;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::elementwise;
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaRandom, OnCuda, Workspace};

impl OnCuda for Dropout {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let inp = pass.types[0];
        let kernel = match pass.precision {
            Precision::F32 => Kernel::DropoutForwardF32,
            Precision::Bf16 => Kernel::DropoutForwardBf16,
        };
        let arguments = self.arguments(pass.inputs[0].working, pass.out, inp, pass.random);
        pass.device.launch(kernel, self.layout(inp, pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let inp = pass.types[0];
        let kernel = match pass.precision {
            Precision::F32 => Kernel::DropoutBackwardF32,
            Precision::Bf16 => Kernel::DropoutBackwardBf16,
        };
        let arguments = self
            .arguments(pass.dout, dinp.values, inp, pass.random)
            .count(usize::from(dinp.write.adds()));
        pass.device.launch(kernel, self.layout(inp, pass.precision), &arguments)
    }
}

impl Dropout {
    fn layout(&self, inp: &TensorType, precision: Precision) -> Layout {
        match self.per_sample {
            true => elementwise::rows(inp.shape.len(), precision),
            false => elementwise::elements(inp.shape.len(), precision),
        }
    }

    /// What both directions take: they do the same.
    fn arguments(
        &self,
        from: Pointer,
        to: Pointer,
        inp: &TensorType,
        random: CudaRandom,
    ) -> Arguments {
        let samples = inp.shape.extents()[0];
        Arguments::new()
            .pointer(from)
            .pointer(to)
            .count(samples)
            .count(inp.shape.len() / samples.max(1))
            .count(usize::from(self.per_sample))
            .count(self.least_word() as usize)
            .float((1.0 / (1.0 - self.rate)) as f32)
            .long(random.seed)
            .count(random.node)
            .pointer(random.step)
    }
}
