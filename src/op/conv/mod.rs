//! Convolution with stride 1 and zero padding to the same size:
//! `out[b, y, x] = bias + sum over i, j of weight[:, :, i, j] inp[b, y + i - p, x + j - p]`,
//! `p = (k - 1)/2`.
//!
//! `inp [B, H, W, I]`, `weight [O, I, k, k]` (k odd), `bias [O]`, `out [B, H, W, O]`.
//!
//! Backward, with `dproduct[b, y, x, (i, j)] = dout[b, y - i + p, x - j + p]` (0 outside):
//! `dinp = sum over i, j of dproduct[i, j] weight[:, :, i, j]`,
//! `dweight[:, :, i, j] = dproduct[i, j]^T inp`, `dbias = sum over pixels of dout`.

mod cpu;
mod cuda;

use super::contract::{Operation, Signature, TensorType, mismatch};
use crate::cpu::sum::column_sums_workspace;
use crate::error::Result;

/// Inputs: `inp`, `weight`, `bias`.
#[derive(Clone, Debug)]
pub struct Conv {}

impl Operation for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let wrong = |needed: &str| Err(mismatch(self.name(), needed, inputs));
        let extents: Vec<&[usize]> = inputs.iter().map(|i| i.shape.extents()).collect();
        let [&[_, _, _, channels], &[outputs, columns, kernel, kernel_width], bias] = extents[..]
        else {
            return wrong("inp [B, H, W, I], weight [O, I, k, k], bias [O]");
        };
        if kernel != kernel_width || kernel % 2 == 0 {
            return wrong("weight [O, I, k, k] with an odd k");
        }
        if columns != channels {
            return wrong("weight [O, I, k, k] with as many I as inp has channels");
        }
        if bias != [outputs] {
            return wrong("bias [O]");
        }
        let rows = inputs[0].shape.rows();
        let products = rows * kernel * kernel * outputs;
        let weight = inputs[1].shape.len();
        Ok(Signature {
            out: TensorType::activation(inputs[0].shape.with_channels(outputs)),
            kept: Vec::new(),
            reads_inputs: vec![true, true, false],
            reads_out: false,
            differentiable: vec![true; 3],
            forward_workspace: products + weight,
            backward_workspace: products + weight + column_sums_workspace(rows, outputs),
        })
    }
}
