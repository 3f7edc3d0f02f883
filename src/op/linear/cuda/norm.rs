//! Layer norm's backward pass, which goes on from the gradient of what the norm makes.

use super::Sizes;
use crate::cuda::arguments::Pointer;
use crate::cuda::layer_norm::{Backward, queue_backward};
use crate::error::Result;
use crate::op::device::CudaBackward;

/// Queues the gradients of `inp` and of the norm's parameters, which begin at input `first`.
pub fn queue(
    pass: &CudaBackward<'_>,
    sizes: &Sizes,
    first: usize,
    dnorm: Pointer,
    workspace: Pointer,
) -> Result<()> {
    let [dinp, dweight, dbias] =
        [0, first, first + 1].map(|i| pass.dinputs[i].map(|d| (d.values, d.write)));
    let of_norm = Backward {
        precision: pass.precision,
        rows: sizes.rows,
        channels: sizes.inputs,
        dout: dnorm,
        inp: pass.inputs[0].working,
        weight: pass.inputs[first].full,
        mean: pass.kept[0],
        rstd: pass.kept[1],
        dinp,
        dweight,
        dbias,
        workspace,
        tickets: pass.tickets,
    };
    queue_backward(pass.device, &of_norm)
}
