//! What an operation does on a CUDA device: the trait beside the CPU's, without default methods.

use arrayvec::ArrayVec;

use super::contract::{Kind, MAX_INPUTS, MAX_KEPT, Operation, TensorType};
use crate::cuda::arguments::Pointer;
use crate::cuda::device::Device;
use crate::cuda::kernels::Module;
pub use crate::cuda::pass::{CudaRandom, TICKETS};
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::write::Write;

/// An operation on a CUDA device: both directions, as kernels queued on the device's stream.
pub trait OnCuda: Operation {
    /// The inputs that have to be parameters: they are read in f32 or in both formats, and their
    /// gradients are f32. No other input may be one.
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS>;

    /// The files of kernels that the passes launch from: if nothing is said the one that is called as the operation.
    fn modules(&self) -> ArrayVec<Module, 3> {
        Module::ALL.into_iter().filter(|module| module.name() == self.name()).collect()
    }

    /// Asks whether a device whose blocks have at most `most_shared` bytes of shared memory can run the passes.
    ///
    /// # Errors
    /// Sizes that the kernels are not made for.
    fn check(
        &self,
        _inputs: &[&TensorType],
        _precision: Precision,
        _most_shared: u32,
        _passes: Passes,
    ) -> Result<()> {
        Ok(())
    }

    /// Bytes of scratch memory for the duration of one pass.
    fn workspace(&self, inputs: &[&TensorType], precision: Precision) -> Workspace;

    /// Queues the forward pass.
    fn forward(&self, pass: &CudaForward<'_>) -> Result<()>;

    /// Queues what writes the gradient of every input that one is asked for.
    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()>;
}

/// How a device keeps a tensor that is no parameter: indices are as wide as f32.
pub fn stored(kind: Kind, precision: Precision) -> Precision {
    if kind == Kind::Activation { precision } else { Precision::F32 }
}

/// What an operation is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    Forward,
    Both,
}

/// In bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workspace {
    pub forward: usize,
    pub backward: usize,
}

/// Where an input's numbers lie on the device.
#[derive(Clone, Copy, Debug)]
pub struct CudaInput {
    /// In the session's precision; indices as `i32`, statistics as f32.
    pub working: Pointer,
    /// In f32: a parameter's own numbers. Null for activations of a bf16 session.
    pub full: Pointer,
}

/// What a forward pass on a device is given.
pub struct CudaForward<'a> {
    pub device: &'a Device,
    pub precision: Precision,
    pub types: ArrayVec<&'a TensorType, MAX_INPUTS>,
    pub inputs: ArrayVec<CudaInput, MAX_INPUTS>,
    pub out: Pointer,
    /// Empty if no backward pass will follow. Statistics are f32.
    pub kept: ArrayVec<Pointer, MAX_KEPT>,
    pub workspace: Pointer,
    /// [`TICKETS`] counters (`u32`), zero before and after every kernel.
    pub tickets: Pointer,
    /// This node's stream of random numbers in this step.
    pub random: CudaRandom,
}

/// A gradient to be written: f32 for a parameter, else in the session's precision.
#[derive(Clone, Copy, Debug)]
pub struct CudaGradient {
    pub values: Pointer,
    pub write: Write,
}

/// What a backward pass on a device is given.
pub struct CudaBackward<'a> {
    pub device: &'a Device,
    pub precision: Precision,
    pub types: ArrayVec<&'a TensorType, MAX_INPUTS>,
    /// As far as the signature says that backward reads them.
    pub inputs: ArrayVec<CudaInput, MAX_INPUTS>,
    /// Null if the signature does not say that it is read.
    pub out: Pointer,
    pub kept: ArrayVec<Pointer, MAX_KEPT>,
    pub dout: Pointer,
    /// One for each input; `None` where no gradient is wanted.
    pub dinputs: ArrayVec<Option<CudaGradient>, MAX_INPUTS>,
    pub workspace: Pointer,
    /// [`TICKETS`] counters (`u32`), zero before and after every kernel.
    pub tickets: Pointer,
    /// The same stream as in the forward pass.
    pub random: CudaRandom,
}

impl CudaForward<'_> {
    /// Where kept tensor `i` goes, null if none is kept.
    pub fn kept(&self, i: usize) -> Pointer {
        self.kept.get(i).copied().unwrap_or(Pointer::NULL)
    }
}

impl CudaBackward<'_> {
    /// The gradient of input `i`, if there is such an input and its gradient is wanted.
    pub fn wanted(&self, i: Option<usize>) -> Option<(Pointer, Write)> {
        let gradient = self.dinputs.get(i?).copied().flatten()?;
        Some((gradient.values, gradient.write))
    }

    /// Where the gradient of input `i` goes, null if none is wanted, and 1 if it is added to what is
    /// there, else 0: as kernels take them.
    pub fn gradient(&self, i: usize) -> (Pointer, usize) {
        let gradient = self.dinputs.get(i).copied().flatten();
        gradient.map_or((Pointer::NULL, 0), |d| (d.values, usize::from(d.write.adds())))
    }
}
