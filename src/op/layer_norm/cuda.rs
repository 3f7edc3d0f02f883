//! Layer norm on a device: one kernel forward; backward one for the input and two for weight and bias.

use arrayvec::ArrayVec;

use super::LayerNorm;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::contract::{MAX_INPUTS, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaGradient, OnCuda, Workspace};

/// Rows of a block: a warp each.
const ROWS: usize = 4;
/// Channels of a block of the parameters' sums.
const COLUMNS: usize = 128;
/// Rows whose sum one block makes; fixes the order of summation.
const CHUNK: usize = 64;
const MOST_CHUNKS: usize = 256;

/// Chunks of rows that are summed apart.
fn chunks(rows: usize) -> usize {
    rows.div_ceil(CHUNK).clamp(1, MOST_CHUNKS)
}

impl OnCuda for LayerNorm {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::from_iter([1, 2])
    }

    fn workspace(&self, inputs: &[&TensorType], _: Precision) -> Workspace {
        let inp = &inputs[0].shape;
        Workspace {
            forward: 0,
            backward: chunks(inp.rows()) * 2 * inp.channels() * size_of::<f32>(),
        }
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let inp = &pass.types[0].shape;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LayerNormForwardF32,
            Precision::Bf16 => Kernel::LayerNormForwardBf16,
        };
        let kept = |i: usize| pass.kept.get(i).copied().unwrap_or(Pointer::NULL);
        let arguments = Arguments::new()
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[1].full)
            .pointer(pass.inputs[2].full)
            .pointer(pass.out)
            .pointer(kept(0))
            .pointer(kept(1))
            .count(inp.rows())
            .count(inp.channels())
            .float(self.eps as f32);
        let layout = Layout::row(inp.rows().div_ceil(ROWS), 32 * ROWS as u32);
        pass.device.launch(kernel, layout, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        if let Some(dinp) = pass.dinputs[0] {
            backward_input(pass, dinp)?;
        }
        if pass.dinputs[1..].iter().any(Option::is_some) {
            backward_parameters(pass)?;
        }
        Ok(())
    }
}

fn backward_input(pass: &CudaBackward<'_>, dinp: CudaGradient) -> Result<()> {
    let inp = &pass.types[0].shape;
    let kernel = match pass.precision {
        Precision::F32 => Kernel::LayerNormBackwardF32,
        Precision::Bf16 => Kernel::LayerNormBackwardBf16,
    };
    let arguments = Arguments::new()
        .pointer(pass.dout)
        .pointer(pass.inputs[0].working)
        .pointer(pass.inputs[1].full)
        .pointer(pass.kept[0])
        .pointer(pass.kept[1])
        .pointer(dinp.values)
        .count(inp.rows())
        .count(inp.channels())
        .count(usize::from(dinp.write.adds()));
    let layout = Layout::row(inp.rows().div_ceil(ROWS), 32 * ROWS as u32);
    pass.device.launch(kernel, layout, &arguments)
}

/// Sums over chunks of rows, then over the chunks.
fn backward_parameters(pass: &CudaBackward<'_>) -> Result<()> {
    let inp = &pass.types[0].shape;
    let (rows, channels, chunks) = (inp.rows(), inp.channels(), chunks(inp.rows()));
    let kernel = match pass.precision {
        Precision::F32 => Kernel::LayerNormBackwardParametersF32,
        Precision::Bf16 => Kernel::LayerNormBackwardParametersBf16,
    };
    let arguments = Arguments::new()
        .pointer(pass.dout)
        .pointer(pass.inputs[0].working)
        .pointer(pass.kept[0])
        .pointer(pass.kept[1])
        .pointer(pass.workspace)
        .count(rows)
        .count(channels);
    let layout = Layout {
        grid: [channels.div_ceil(COLUMNS) as u32, chunks as u32, 1],
        block: [256, 1, 1],
        shared: 0,
    };
    pass.device.launch(kernel, layout, &arguments)?;
    for (i, gradient) in pass.dinputs[1..].iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        let arguments = Arguments::new()
            .pointer(pass.workspace.offset(i * channels * size_of::<f32>()))
            .pointer(gradient.values)
            .count(chunks)
            .count(channels)
            .count(usize::from(gradient.write.adds()));
        let layout = Layout::row(channels.div_ceil(32), 256);
        pass.device.launch(Kernel::LayerNormBackwardParametersSumF32, layout, &arguments)?;
    }
    Ok(())
}
