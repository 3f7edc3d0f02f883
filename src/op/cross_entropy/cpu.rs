//! Cross-entropy on the CPU, in one pass over rows of pixels, each upsampled from two rows of the
//! grid in the cache. Backward folds each row of pixels back onto the columns of the grid, then
//! the rows, in the order of the pixels.

use super::CrossEntropy;
use crate::cpu::interpolation::Axis;
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::vectorised;
use crate::cpu::sum::{dot, sum, sum_with};
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for CrossEntropy {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let pixels = Pixels::new(self.class_weights, &pass.inputs);
        let losses = &mut pass.workspace[..pixels.rows];
        let parts = Parts::new(losses);
        pixels.for_rows(
            #[inline(always)]
            |row| {
                pixels.losses(row.index, row.difference);
                // SAFETY: every row has a loss of its own.
                let loss = unsafe { parts.row(row.index, 1) };
                loss[0] = sum(row.difference);
            },
        );
        let total: f64 = losses.iter().map(|loss| loss.to_f64()).sum();
        let weight = pixels.total_weight();
        pass.out[0] = S::from_f64(total / weight);
        if let Some(kept) = pass.kept.pop() {
            kept[0] = S::from_f64(weight);
        }
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let pixels = Pixels::new(self.class_weights, &pass.inputs);
        let Some(dlogits) = pass.gradient(0) else { return };
        let scale = pass.dout[0].to_f64() / pass.kept[0][0].to_f64();
        let folded = &mut pass.workspace[..pixels.rows * pixels.grid_width];
        let parts = Parts::new(folded);
        pixels.for_rows(
            #[inline(always)]
            |row| {
                pixels.differentiate(row.index, row.difference, scale);
                // SAFETY: every row of pixels has a row of its own.
                let folded = unsafe { parts.row(row.index, pixels.grid_width) };
                pixels.fold_columns(folded, row.difference, row.fractions);
            },
        );
        pixels.fold_rows(dlogits.values, dlogits.write, folded);
    }
}

/// The pixels of a batch and the grid that they are upsampled from.
struct Pixels<'a, S> {
    class_weights: [f64; 2],
    logits: &'a [S],
    mask: &'a [i32],
    /// Rows of pixels in the batch.
    rows: usize,
    height: usize,
    width: usize,
    grid_height: usize,
    grid_width: usize,
    down: Axis,
    across: Axis,
}

/// A row of pixels.
struct Row<'a, S> {
    index: usize,
    /// `z[1] - z[0]` of each pixel.
    difference: &'a mut [S],
    /// How much of the right neighbour is in each pixel.
    fractions: &'a [S],
}

impl<'a, S: Scalar> Pixels<'a, S> {
    fn new(class_weights: [f64; 2], inputs: &Inputs<'a, S>) -> Self {
        let (grid, mask) = (inputs.shape(0).extents(), inputs.shape(1).extents());
        let (grid_height, grid_width, height, width) = (grid[1], grid[2], mask[1], mask[2]);
        Self {
            class_weights,
            logits: inputs.real(0),
            mask: inputs.indices(1),
            rows: mask[0] * height,
            height,
            width,
            grid_height,
            grid_width,
            down: Axis::new(grid_height, height, true),
            across: Axis::new(grid_width, width, true),
        }
    }

    /// The sum of the weights of all pixels, of their exact counts.
    fn total_weight(&self) -> f64 {
        let objects = vectorised(
            #[inline(always)]
            || self.mask.iter().map(|&y| i64::from(y != 0)).sum::<i64>(),
        );
        let background = self.mask.len() as i64 - objects;
        self.class_weights[0] * background as f64 + self.class_weights[1] * objects as f64
    }

    /// Calls `body` with every row of pixels, on all threads.
    fn for_rows(&self, body: impl Fn(Row<S>) + Sync) {
        rows::for_chunks(
            self.rows,
            rows::chunk_rows(self.width),
            #[inline(always)]
            |range| {
                with_scratch(self.grid_width + 2 * self.width, |scratch: &mut [S]| {
                    vectorised(
                        #[inline(always)]
                        || {
                            let (grid, scratch) = scratch.split_at_mut(self.grid_width);
                            let (fractions, difference) = scratch.split_at_mut(self.width);
                            for (x, fraction) in fractions.iter_mut().enumerate() {
                                *fraction = S::from_f64(self.across.at(x).fraction);
                            }
                            for index in range {
                                self.upsample(index, grid, fractions, difference);
                                body(Row { index, difference, fractions });
                            }
                        },
                    );
                });
            },
        );
    }

    /// `d` along one row of pixels; `grid` is room for one row of the grid.
    #[inline(always)]
    fn upsample(&self, row: usize, grid: &mut [S], fractions: &[S], difference: &mut [S]) {
        let (item, at) = (row / self.height, self.down.at(row % self.height));
        let grid_row = |r: usize| {
            let len = 2 * self.grid_width;
            self.logits[(item * self.grid_height + r) * len..][..len].chunks_exact(2)
        };
        let (a, b) = (S::from_f64(1.0 - at.fraction), S::from_f64(at.fraction));
        let pairs = grid_row(at.first).zip(grid_row(at.second));
        for (d, (first, second)) in grid.iter_mut().zip(pairs) {
            *d = a * (first[1] - first[0]) + b * (second[1] - second[0]);
        }
        for c in 0..self.grid_width {
            let (first, second) = (grid[c], grid[(c + 1).min(self.grid_width - 1)]);
            let cell = self.across.cell(c);
            let fractions = &fractions[cell.clone()];
            for (d, &f) in difference[cell].iter_mut().zip(fractions) {
                *d = (S::ONE - f) * first + f * second;
            }
        }
    }

    /// `w` and the sign of `d` in the loss of a pixel of class `y`.
    #[inline(always)]
    fn class(&self, y: i32) -> (S, S) {
        let [background, object] = self.class_weights.map(S::from_f64);
        if y != 0 { (object, -S::ONE) } else { (background, S::ONE) }
    }

    /// Replaces `d` by `w l` along one row of pixels.
    #[inline(always)]
    fn losses(&self, row: usize, difference: &mut [S]) {
        let mask = &self.mask[row * self.width..][..self.width];
        for (d, &y) in difference.iter_mut().zip(mask) {
            let (weight, sign) = self.class(y);
            *d = weight * softplus(sign * *d);
        }
    }

    /// Replaces `d` by `dd = scale w (sigmoid(d) - y)` along one row of pixels.
    #[inline(always)]
    fn differentiate(&self, row: usize, difference: &mut [S], scale: f64) {
        let mask = &self.mask[row * self.width..][..self.width];
        let scale = S::from_f64(scale);
        for (d, &y) in difference.iter_mut().zip(mask) {
            let (weight, sign) = self.class(y);
            // forward: l = softplus(sign d)
            *d = scale * weight * sign / (S::ONE + (-sign * *d).exp());
        }
    }

    /// Sums over the pixels of a row onto the columns of the grid.
    #[inline(always)]
    fn fold_columns(&self, folded: &mut [S], dd: &[S], fractions: &[S]) {
        folded.fill(S::ZERO);
        for c in 0..self.grid_width {
            // forward: d = (1 - f) grid[c] + f grid[c + 1]
            let cell = self.across.cell(c);
            let (dd, fractions) = (&dd[cell.clone()], &fractions[cell]);
            folded[c] += sum_with(dd, fractions, |d, f| d * (S::ONE - f));
            folded[(c + 1).min(self.grid_width - 1)] += dot(dd, fractions);
        }
    }

    /// Sums over the rows of pixels onto the rows of the grid, for both logits.
    fn fold_rows(&self, dlogits: &mut [S], write: Write, folded: &[S]) {
        let len = self.grid_width;
        let slots = Parts::new(dlogits);
        rows::for_tasks(self.rows / self.height * self.grid_height, |row| {
            let (item, r) = (row / self.grid_height, row % self.grid_height);
            // SAFETY: every row of the grid has a task of its own.
            let slots = unsafe { slots.row(row, 2 * len) };
            with_scratch(len, |sums: &mut [S]| {
                sums.fill(S::ZERO);
                for y in self.down.touching(r) {
                    // forward: grid = (1 - f) grid[first] + f grid[second]
                    let weight = S::from_f64(self.down.at(y).weight(r));
                    let folded = &folded[(item * self.height + y) * len..][..len];
                    for (sum, &d) in sums.iter_mut().zip(folded) {
                        *sum += weight * d;
                    }
                }
                // forward: d = z[1] - z[0]
                write.put_all(slots, sums.iter().flat_map(|&d| [-d, d]));
            });
        });
    }
}

/// `ln(1 + e^x)` without overflow or cancellation: `max(x, 0) + ln(1 + e^-|x|)`.
///
/// With `u = e^-|x|` in `[0, 1]` and `s = u / (2 + u) <= 1/3`: `ln(1 + u) = 2 artanh(s)`, whose
/// series to `s^33` is exact to rounding in `f64` and becomes vector code, which `ln` does not.
#[inline(always)]
fn softplus<S: Scalar>(x: S) -> S {
    let u = (-x.abs()).exp();
    let s = u / (S::from_f64(2.0) + u);
    let square = s * s;
    let mut series = S::from_f64(1.0 / 33.0);
    for k in (0..16).rev() {
        series = series.mul_add(square, S::from_f64(1.0 / f64::from(2 * k + 1)));
    }
    x.max(S::ZERO) + S::from_f64(2.0) * s * series
}

#[cfg(test)]
mod tests {
    use super::softplus;

    /// Two units in the last place of `exp`, and four roundings after it.
    #[test]
    fn softplus_is_within_four_ulp() {
        for i in -8000..8000 {
            let single = i as f32 * 0.01;
            let x = f64::from(single);
            let want = x.max(0.0) + (-x.abs()).exp().ln_1p();
            assert!(
                (softplus(x) - want).abs() <= 4.0 * f64::EPSILON * want,
                "softplus({x}) is {want}"
            );
            let got = f64::from(softplus(single));
            assert!(
                (got - want).abs() <= 4.0 * f64::from(f32::EPSILON) * want,
                "softplus({x}) in f32 is {want}"
            );
        }
        assert_eq!((softplus(-1e4), softplus(1e4)), (0.0, 1e4));
        assert_eq!((softplus(-1e4f32), softplus(1e4f32)), (0.0, 1e4));
    }
}
