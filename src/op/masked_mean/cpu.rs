//! Mean over the rows that count, on the CPU: one task for each sample.

use super::MaskedMean;
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for MaskedMean {
    fn forward(&self, pass: Forward<'_, S>) {
        let (rows, channels) = row_extents(&pass.inputs);
        let inp = pass.inputs.real(0);
        let counted = Counted::new(self, &pass.inputs);
        rows::for_rows(
            pass.out,
            channels,
            #[inline(always)]
            |sample, out| {
                out.fill(S::ZERO);
                for row in (0..rows).filter(|&row| counted.counts(sample, row)) {
                    let inp = &inp[(sample * rows + row) * channels..][..channels];
                    for (out, &x) in out.iter_mut().zip(inp) {
                        *out += x;
                    }
                }
                let weight: S = counted.weight(sample);
                for out in out.iter_mut() {
                    *out *= weight;
                }
            },
        );
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let (rows, channels) = row_extents(&pass.inputs);
        let counted = Counted::new(self, &pass.inputs);
        let Some(dinp) = pass.gradient(0) else { return };
        // forward: out[b] = sum of the counted inp[b, n] / count[b]
        rows::for_rows(
            dinp.values,
            rows * channels,
            #[inline(always)]
            |sample, values| {
                let dout = &pass.dout[sample * channels..][..channels];
                let weight: S = counted.weight(sample);
                for (row, values) in values.chunks_exact_mut(channels).enumerate() {
                    if counted.counts(sample, row) {
                        dinp.write.put_all(values, dout.iter().map(|&d| weight * d));
                    } else {
                        dinp.write.begin(values);
                    }
                }
            },
        );
    }
}

/// `N` and `C` of `inp [B, N, C]`.
fn row_extents<S>(inputs: &Inputs<'_, S>) -> (usize, usize) {
    let extents = inputs.types[0].shape.extents();
    (extents[1], extents[2])
}

/// Which rows of a sample count.
struct Counted<'a> {
    rows: usize,
    /// Rows of a sample that have a mask.
    masked: usize,
    mask: &'a [i32],
}

impl<'a> Counted<'a> {
    fn new<S>(op: &MaskedMean, inputs: &Inputs<'a, S>) -> Self {
        let rows = inputs.types[0].shape.extents()[1];
        match op.masked {
            true => Self { rows, masked: inputs.shape(1).channels(), mask: inputs.indices(1) },
            false => Self { rows, masked: 0, mask: &[] },
        }
    }

    #[inline(always)]
    fn counts(&self, sample: usize, row: usize) -> bool {
        row >= self.masked || self.mask[sample * self.masked + row] == 1
    }

    /// What each row that counts is multiplied by.
    fn weight<S: Scalar>(&self, sample: usize) -> S {
        let count = (0..self.rows).filter(|&row| self.counts(sample, row)).count();
        if count == 0 { S::ZERO } else { S::from_f64(1.0 / count as f64) }
    }
}
