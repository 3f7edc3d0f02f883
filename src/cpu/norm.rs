//! Layer norm of rows: each row is read from memory once in either direction.

use super::rows::{self, Parts};
use super::sum::{dot, sum, sum_with, sum_with_three};
use crate::scalar::Scalar;
use crate::write::Write;

/// Rows to be normalised, with the weight and bias that follow: one number a channel each.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, S> {
    pub inp: &'a [S],
    pub weight: &'a [S],
    pub bias: &'a [S],
}

/// Where each row's mean and reciprocal standard deviation go.
#[derive(Debug)]
pub struct StatisticsMut<'a, S> {
    pub mean: &'a mut [S],
    pub rstd: &'a mut [S],
}

/// Each row's mean and reciprocal standard deviation.
#[derive(Clone, Copy, Debug)]
pub struct Statistics<'a, S> {
    pub mean: &'a [S],
    pub rstd: &'a [S],
}

impl<S: Scalar> Rows<'_, S> {
    /// `out = (inp - mean) rstd weight + bias`, with `rstd = 1 / sqrt(variance + eps)`.
    pub fn normalise(&self, eps: f64, kept: Option<StatisticsMut<'_, S>>, out: &mut [S]) {
        let eps = S::from_f64(eps);
        let kept = kept.map(|kept| (Parts::new(kept.mean), Parts::new(kept.rstd)));
        self.for_rows(
            out,
            #[inline(always)]
            |row, inp| {
                let (mean, rstd) = of_row(inp, eps);
                if let Some((means, rstds)) = &kept {
                    // SAFETY: every row is visited once.
                    unsafe { (means.row(row, 1)[0], rstds.row(row, 1)[0]) = (mean, rstd) };
                }
                (mean, rstd)
            },
        );
    }

    /// The same with what was kept: the same bits.
    pub fn normalise_again(&self, kept: Statistics<'_, S>, out: &mut [S]) {
        self.for_rows(
            out,
            #[inline(always)]
            |row, _| (kept.mean[row], kept.rstd[row]),
        );
    }

    fn for_rows(&self, out: &mut [S], statistics: impl Fn(usize, &[S]) -> (S, S) + Sync) {
        let channels = self.weight.len();
        let (rows, out) = (self.inp.len() / channels, Parts::new(out));
        rows::for_chunks(
            rows,
            rows::chunk_rows(channels),
            #[inline(always)]
            |range| {
                for row in range {
                    let inp = &self.inp[row * channels..][..channels];
                    let (mean, rstd) = statistics(row, inp);
                    // SAFETY: every row belongs to one chunk.
                    let out = unsafe { out.row(row, channels) };
                    let inp = inp.iter().zip(self.weight).zip(self.bias);
                    for (out, ((&x, &weight), &bias)) in out.iter_mut().zip(inp) {
                        *out = (x - mean) * rstd * weight + bias;
                    }
                }
            },
        );
    }
}

/// Mean and reciprocal standard deviation of a row.
#[inline(always)]
fn of_row<S: Scalar>(row: &[S], eps: S) -> (S, S) {
    let reciprocal = S::from_f64(1.0 / row.len() as f64);
    let mean = sum(row) * reciprocal;
    let variance = sum_with(row, row, |x, _| (x - mean) * (x - mean)) * reciprocal;
    (mean, S::ONE / (variance + eps).sqrt())
}

/// Elements of workspace of the backward pass: two partial sums, of `dweight` and `dbias`, for each
/// chunk of rows.
pub fn backward_workspace(rows: usize, channels: usize) -> usize {
    rows.div_ceil(rows::chunk_rows(channels)) * 2 * channels
}

/// What the backward pass reads.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a, S> {
    pub inp: &'a [S],
    pub weight: &'a [S],
    pub kept: Statistics<'a, S>,
    pub dout: &'a [S],
}

/// A gradient and how it is written; `None` where none is wanted.
pub type Wanted<'a, S> = Option<(&'a mut [S], Write)>;

/// What the backward pass writes.
#[derive(Debug)]
pub struct Gradients<'a, S> {
    pub dinp: Wanted<'a, S>,
    pub dweight: Wanted<'a, S>,
    pub dbias: Wanted<'a, S>,
}

impl<S: Scalar> Backward<'_, S> {
    pub fn run(&self, gradients: Gradients<'_, S>, workspace: &mut [S]) {
        let Gradients { dinp, dweight, dbias } = gradients;
        let channels = self.weight.len();
        let (rows, chunk) = (self.inp.len() / channels, rows::chunk_rows(channels));
        let dinp = dinp.map(|(values, write)| (Parts::new(values), write));
        let sums_wanted = dweight.is_some() || dbias.is_some();
        let workspace = &mut workspace[..backward_workspace(rows, channels)];
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
                    let row = self.row(row, channels);
                    if sums_wanted {
                        row.add_sums(dweight, dbias);
                    }
                    if let Some((dinp, write)) = &dinp {
                        // SAFETY: every row belongs to one chunk.
                        write.put_all(unsafe { dinp.part(at) }, row.dinp(self.weight));
                    }
                }
            },
        );
        add_up(dweight, workspace, channels, 0);
        add_up(dbias, workspace, channels, channels);
    }

    #[inline(always)]
    fn row(&self, row: usize, channels: usize) -> Row<'_, S> {
        let at = row * channels..(row + 1) * channels;
        let (mean, rstd) = (self.kept.mean[row], self.kept.rstd[row]);
        Row { inp: &self.inp[at.clone()], dout: &self.dout[at], mean, rstd }
    }
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
fn add_up<S: Scalar>(gradient: Wanted<'_, S>, partial: &[S], channels: usize, offset: usize) {
    let Some((values, write)) = gradient else { return };
    write.begin(values);
    for sums in partial.chunks_exact(2 * channels) {
        for (value, &sum) in values.iter_mut().zip(&sums[offset..]) {
            *value += sum;
        }
    }
}
