//! Embedding on a device: one kernel in each direction. Tables are read in the session's precision.

use arrayvec::ArrayVec;

use super::Embedding;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Rows of the word table that a block of the backward pass has.
const TABLE_ROWS: usize = 32;

impl OnCuda for Embedding {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([1, 2, 3])
    }

    fn workspace(&self, inputs: &[&TensorType], _: Precision) -> Workspace {
        let (words, channels) = (inputs[0].shape.channels(), inputs[1].shape.channels());
        Workspace { forward: 0, backward: words * channels * size_of::<f32>() }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let tokens = &pass.types[0].shape;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::EmbeddingForwardF32,
            Precision::Bf16 => Kernel::EmbeddingForwardBf16,
        };
        let inputs = pass.inputs.iter();
        let arguments = inputs.fold(Arguments::new(), |a, input| a.pointer(input.working));
        let arguments = arguments
            .pointer(pass.out)
            .count(tokens.channels())
            .count(pass.types[1].shape.channels());
        pass.device.launch(kernel, Layout::row(tokens.len(), 128), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let (tokens, tables) = (&pass.types[0].shape, &pass.types[1..]);
        let words = tokens.channels();
        let [word, position, token_type] = [1, 2, 3].map(|i| pass.dinputs[i]);
        let of_positions = position.or(token_type).map_or(0, |_| words);
        let of_words = word.map_or(0, |_| tables[0].shape.rows().div_ceil(TABLE_ROWS));
        if of_positions + of_words == 0 {
            return Ok(());
        }
        let kernel = match pass.precision {
            Precision::F32 => Kernel::EmbeddingBackwardF32,
            Precision::Bf16 => Kernel::EmbeddingBackwardBf16,
        };
        let gradients = [word, position, token_type];
        let arguments = Arguments::new().pointer(pass.inputs[0].working).pointer(pass.dout);
        let arguments = gradients
            .iter()
            .fold(arguments, |a, d| a.pointer(d.map_or(Pointer::NULL, |d| d.values)))
            .pointer(pass.workspace)
            .pointer(pass.tickets)
            .count(tokens.len() / words)
            .count(words)
            .count(tables[0].shape.channels());
        let arguments = tables.iter().fold(arguments, |a, table| a.count(table.shape.rows()));
        let arguments = gradients
            .iter()
            .fold(arguments, |a, d| a.count(usize::from(d.is_some_and(|d| d.write.adds()))));
        pass.device.launch(kernel, Layout::row(of_positions + of_words, 256), &arguments)
    }
}
