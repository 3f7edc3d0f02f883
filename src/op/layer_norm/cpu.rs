//! Layer norm on the CPU: each row is read from memory once in either direction.

use super::LayerNorm;
use crate::cpu::rows::{self, Parts};
use crate::cpu::sum::{dot, sum, sum_with, sum_with_three};
use crate::op::contract::{Backward, Forward, Gradient, OnCpu};
use crate::scalar::Scalar;

/// Two partial sums, of `dweight` and `dbias`, for each chunk of rows.
pub(super) fn backward_workspace(rows: usize, channels: usize) -> usize {
    rows.div_ceil(rows::chunk_rows(channels)) * 2 * channels
}

impl<S: Scalar> OnCpu<S> for LayerNorm {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let shape = pass.inputs.shape(0);
        let (rows, channels) = (shape.rows(), shape.channels());
        let (inp, weight, bias) = (pass.inputs.real(0), pass.inputs.real(1), pass.inputs.real(2));
        let (rstd, mean) = (pass.kept.pop(), pass.kept.pop());
        let kept = mean.zip(rstd).map(|(mean, rstd)| (Parts::new(mean), Parts::new(rstd)));
        let (out, eps) = (Parts::new(pass.out), S::from_f64(self.eps));
        rows::for_chunks(
            rows,
            rows::chunk_rows(channels),
            #[inline(always)]
            |range| {
                for row in range {
                    let inp = &inp[row * channels..][..channels];
                    let (mean, rstd) = statistics(inp, eps);
                    // SAFETY: every row belongs to one chunk.
                    let out = unsafe { out.row(row, channels) };
                    for (((out, &x), &weight), &bias) in
                        out.iter_mut().zip(inp).zip(weight).zip(bias)
                    {
                        *out = (x - mean) * rstd * weight + bias;
                    }
                    if let Some((means, rstds)) = &kept {
                        // SAFETY: as above.
                        unsafe { (means.row(row, 1)[0], rstds.row(row, 1)[0]) = (mean, rstd) };
                    }
                }
            },
        );
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let shape = pass.inputs.shape(0);
        let rows = shape.rows();
        let (inp, weight) = (pass.inputs.real(0), pass.inputs.real(1));
        let (dinp, dweight, dbias) = (pass.gradient(0), pass.gradient(1), pass.gradient(2));
        let dinp = dinp.map(|g| (Parts::new(g.values), g.write));
        let sums_wanted = dweight.is_some() || dbias.is_some();
        let channels = shape.channels();
        let chunk = rows::chunk_rows(channels);
        let workspace = &mut pass.workspace[..rows.div_ceil(chunk) * 2 * channels];
        let partial = Parts::new(workspace);
        rows::for_chunks(
            rows,
            chunk,
            #[inline(always)]
            |range| {
                // SAFETY: every chunk has a partial sum of its own.
                let sums = unsafe { partial.row(range.start / chunk, 2 * channels) };
                sums.fill(S::ZERO);
                let (dweight, dbias) = sums.split_at_mut(channels);
                for row in range {
                    let at = row * channels..(row + 1) * channels;
                    let (mean, rstd) = (pass.kept[0][row], pass.kept[1][row]);
                    let row =
                        Row { inp: &inp[at.clone()], dout: &pass.dout[at.clone()], mean, rstd };
                    if sums_wanted {
                        row.add_sums(dweight, dbias);
                    }
                    if let Some((dinp, write)) = &dinp {
                        // SAFETY: every row belongs to one chunk.
                        write.put_all(unsafe { dinp.part(at) }, row.dinp(weight));
                    }
                }
            },
        );
        add_up(dweight, workspace, channels, 0);
        add_up(dbias, workspace, channels, channels);
    }
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn statistics<S: Scalar>(row: &[S], eps: S) -> (S, S) {
    let reciprocal = S::from_f64(1.0 / row.len() as f64);
    let mean = sum(row) * reciprocal;
    let variance = sum_with(row, row, |x, _| (x - mean) * (x - mean)) * reciprocal;
    (mean, S::ONE / (variance + eps).sqrt())
}

/// What the backward pass knows of one row.
struct Row<'a, S> {
    inp: &'a [S],
    dout: &'a [S],
    mean: S,
    rstd: S,
}

impl<'a, S: Scalar> Row<'a, S> {
    // forward: out = n weight + bias
    #[inline(always)]
    fn add_sums(&self, dweight: &mut [S], dbias: &mut [S]) {
        let sums = dweight.iter_mut().zip(dbias);
        for (((dweight, dbias), &x), &d) in sums.zip(self.inp).zip(self.dout) {
            *dweight += d * ((x - self.mean) * self.rstd);
            *dbias += d;
        }
    }

    // forward: n = (inp - mean) rstd
    #[inline(always)]
    fn dinp(&self, weight: &'a [S]) -> impl Iterator<Item = S> + use<'a, S> {
        let &Row { inp, dout, mean, rstd } = self;
        let reciprocal = S::from_f64(1.0 / inp.len() as f64);
        let mean_g = dot(dout, weight) * reciprocal;
        let mean_gn = sum_with_three(dout, weight, inp, |d, w, x| d * w * ((x - mean) * rstd));
        let mean_gn = mean_gn * reciprocal;
        let row = dout.iter().zip(weight).zip(inp);
        row.map(move |((&d, &w), &x)| rstd * (d * w - mean_g - (x - mean) * rstd * mean_gn))
    }
}

/// Adds the partial sums of all chunks in order; those of one gradient begin at `offset` of each.
fn add_up<S: Scalar>(
    gradient: Option<Gradient<'_, S>>,
    partial: &[S],
    channels: usize,
    offset: usize,
) {
    let Some(Gradient { values, write }) = gradient else { return };
    write.begin(values);
    for sums in partial.chunks_exact(2 * channels) {
        for (value, &sum) in values.iter_mut().zip(&sums[offset..]) {
            *value += sum;
        }
    }
}
