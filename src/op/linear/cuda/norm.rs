//! Layer norm's backward pass, which goes on from the gradient of what the norm makes.

use super::Sizes;
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::Result;
use crate::op::device::CudaBackward;

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

/// Bytes of scratch memory.
pub fn workspace(rows: usize, channels: usize) -> usize {
    chunks(rows) * 2 * channels * size_of::<f32>()
}

/// Queues the gradients of `inp` and of the norm's parameters, which begin at input `first`.
pub fn queue(
    pass: &CudaBackward<'_>,
    sizes: &Sizes,
    first: usize,
    dnorm: Pointer,
    sums: Pointer,
) -> Result<()> {
    let (dinp, add) = pass.gradient(0);
    if dinp != Pointer::NULL {
        let kernel = match pass.precision {
            Precision::F32 => Kernel::LayerNormBackwardF32,
            Precision::Bf16 => Kernel::LayerNormBackwardBf16,
        };
        let arguments = Arguments::new()
            .pointer(dnorm)
            .pointer(pass.inputs[0].working)
            .pointer(pass.inputs[first].full)
            .pointer(pass.kept[0])
            .pointer(pass.kept[1])
            .pointer(dinp)
            .count(sizes.rows)
            .count(sizes.inputs)
            .count(add);
        let layout = Layout::row(sizes.rows.div_ceil(ROWS), 32 * ROWS as u32);
        pass.device.launch(kernel, layout, &arguments)?;
    }
    let parameters = [pass.gradient(first), pass.gradient(first + 1)];
    if parameters.iter().all(|(values, _)| *values == Pointer::NULL) {
        return Ok(());
    }
    queue_sums(pass, sizes, dnorm, sums)?;
    for (i, (values, add)) in parameters.into_iter().enumerate() {
        if values == Pointer::NULL {
            continue;
        }
        let arguments = Arguments::new()
            .pointer(sums.offset(i * sizes.inputs * size_of::<f32>()))
            .pointer(values)
            .count(chunks(sizes.rows))
            .count(sizes.inputs)
            .count(add);
        let layout = Layout::row(sizes.inputs.div_ceil(32), 256);
        pass.device.launch(Kernel::LayerNormBackwardParametersSumF32, layout, &arguments)?;
    }
    Ok(())
}

/// The parameters' sums over chunks of rows.
fn queue_sums(pass: &CudaBackward<'_>, sizes: &Sizes, dnorm: Pointer, sums: Pointer) -> Result<()> {
    let kernel = match pass.precision {
        Precision::F32 => Kernel::LayerNormBackwardParametersF32,
        Precision::Bf16 => Kernel::LayerNormBackwardParametersBf16,
    };
    let arguments = Arguments::new()
        .pointer(dnorm)
        .pointer(pass.inputs[0].working)
        .pointer(pass.kept[0])
        .pointer(pass.kept[1])
        .pointer(sums)
        .count(sizes.rows)
        .count(sizes.inputs);
    let grid = [sizes.inputs.div_ceil(COLUMNS) as u32, chunks(sizes.rows) as u32, 1];
    pass.device.launch(kernel, Layout { grid, block: [256, 1, 1], shared: 0 }, &arguments)
}
