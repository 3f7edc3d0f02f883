//! Patch merging on the CPU: pixels copied, one row of channels at a time.

use super::PatchMerging;
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for PatchMerging {
    fn forward(&self, pass: Forward<'_, S>) {
        let extents = pass.inputs.shape(0).extents();
        let (width, channels) = (extents[2], extents[3]);
        let inp = pass.inputs.real(0);
        rows::for_rows(pass.out, 4 * channels, |row, out| {
            let (y, x) = (row / (width / 2), row % (width / 2));
            for (neighbour, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
                let pixel = (2 * y + neighbour % 2) * width + 2 * x + neighbour / 2;
                out.copy_from_slice(&inp[pixel * channels..][..channels]);
            }
        });
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let extents = pass.inputs.shape(0).extents();
        let (width, channels) = (extents[2], extents[3]);
        let Some(dinp) = pass.gradient(0) else { return };
        let dout = pass.dout;
        // forward: out[y, x, (j, i)] = inp[2y + i, 2x + j]
        rows::for_rows(dinp.values, channels, |pixel, values| {
            let (r, c) = (pixel / width, pixel % width);
            let row = (r / 2) * (width / 2) + c / 2;
            let neighbour = c % 2 * 2 + r % 2;
            let from = &dout[(row * 4 + neighbour) * channels..][..channels];
            dinp.write.put_all(values, from.iter().copied());
        });
    }
}
