//! Mean of 2 x 2 pixels on the CPU, one row of channels at a time.

use super::AvgPool;
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for AvgPool {
    fn forward(&self, pass: Forward<'_, S>) {
        let extents = pass.inputs.shape(0).extents();
        let (width, channels) = (extents[2], extents[3]);
        let inp = pass.inputs.real(0);
        let quarter = S::from_f64(0.25);
        rows::for_rows(
            pass.out,
            channels,
            #[inline(always)]
            |row, out| {
                let (y, x) = (row / (width / 2), row % (width / 2));
                let pair = |r: usize| &inp[(r * width + 2 * x) * channels..][..2 * channels];
                let (a, b) = pair(2 * y).split_at(channels);
                let (c, d) = pair(2 * y + 1).split_at(channels);
                for ((((out, &a), &b), &c), &d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                    *out = (a + b + c + d) * quarter;
                }
            },
        );
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let extents = pass.inputs.shape(0).extents();
        let (width, channels) = (extents[2], extents[3]);
        let Some(dinp) = pass.gradient(0) else { return };
        let (dout, quarter) = (pass.dout, S::from_f64(0.25));
        // forward: out[y, x] = (sum of inp[2y + i, 2x + j]) / 4
        rows::for_rows(
            dinp.values,
            channels,
            #[inline(always)]
            |pixel, values| {
                let row = (pixel / width / 2) * (width / 2) + pixel % width / 2;
                let dout = &dout[row * channels..][..channels];
                dinp.write.put_all(values, dout.iter().map(|&d| d * quarter));
            },
        );
    }
}
