//! Sums in a fixed order: over a row in lanes, over rows in chunks.

use std::ops::Range;

use super::rows::{self, Parts};
use crate::scalar::Scalar;
use crate::write::Write;

const LANES: usize = 16;

/// Sum of `f(a[i], b[i])`, in 16 interleaved partial sums that are then added pairwise.
#[inline(always)]
pub fn sum_with<S: Scalar>(a: &[S], b: &[S], f: impl Fn(S, S) -> S) -> S {
    sum_with_three(a, b, b, |a, b, _| f(a, b))
}

/// Sum of `f(a[i], b[i], c[i])`, in the same order.
#[inline(always)]
pub fn sum_with_three<S: Scalar>(a: &[S], b: &[S], c: &[S], f: impl Fn(S, S, S) -> S) -> S {
    assert!(a.len() == b.len() && b.len() == c.len());
    let mut lanes = [S::ZERO; LANES];
    let (a, b, c) = (a.chunks_exact(LANES), b.chunks_exact(LANES), c.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).zip(c.remainder());
    for ((a, b), c) in a.zip(b).zip(c) {
        for lane in 0..LANES {
            lanes[lane] += f(a[lane], b[lane], c[lane]);
        }
    }
    for (lane, ((&a, &b), &c)) in rest.enumerate() {
        lanes[lane] += f(a, b, c);
    }
    add_lanes(lanes)
}

/// Sum of partial sums, pairwise.
#[inline(always)]
pub fn add_lanes<S: Scalar>(mut lanes: [S; LANES]) -> S {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Sum of a row.
#[inline(always)]
pub fn sum<S: Scalar>(row: &[S]) -> S {
    sum_with(row, row, |x, _| x)
}

/// Sum of the products of two rows.
#[inline(always)]
pub fn dot<S: Scalar>(a: &[S], b: &[S]) -> S {
    sum_with(a, b, |x, y| x * y)
}

/// The largest of a row; minus infinity for an empty one.
#[inline(always)]
pub fn max<S: Scalar>(row: &[S]) -> S {
    let mut lanes = [S::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] = chunk[lane].max(lanes[lane]);
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        lanes[lane] = x.max(lanes[lane]);
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] = lanes[lane + half].max(lanes[lane]);
        }
        half /= 2;
    }
    lanes[0]
}

/// Elements of workspace that [`total`] needs for a sum over `len` numbers.
pub fn total_workspace(len: usize) -> usize {
    len.div_ceil(rows::chunk_rows(1))
}

/// Sum over `0..len` of what `part` gives for each chunk of it: the chunks on all threads, then
/// their sums in order.
pub fn total<S: Scalar>(
    len: usize,
    workspace: &mut [S],
    part: impl Fn(Range<usize>) -> S + Sync,
) -> S {
    let chunk = rows::chunk_rows(1);
    let sums = &mut workspace[..len.div_ceil(chunk)];
    let parts = Parts::new(sums);
    rows::for_chunks(
        len,
        chunk,
        #[inline(always)]
        |range| {
            // SAFETY: every chunk has a sum of its own.
            let sum = unsafe { parts.row(range.start / chunk, 1) };
            sum[0] = part(range);
        },
    );
    sums.iter().copied().sum()
}

/// Elements of workspace that [`column_sums`] needs for each sum over `rows` rows of `cols`.
pub fn column_sums_workspace(rows: usize, cols: usize) -> usize {
    rows.div_ceil(rows::chunk_rows(cols)) * cols
}

/// Sums over rows of what `add_row(row, sums)` adds for each: each chunk of rows into a partial
/// sum of its own in `workspace`, then the partial sums in order.
pub fn column_sums<S: Scalar>(
    out: &mut [S],
    write: Write,
    rows: usize,
    workspace: &mut [S],
    add_row: impl Fn(usize, &mut [S]) + Sync,
) {
    let (cols, chunk) = (out.len(), rows::chunk_rows(out.len()));
    let partial = &mut workspace[..rows.div_ceil(chunk) * cols];
    let parts = Parts::new(partial);
    rows::for_chunks(
        rows,
        chunk,
        #[inline(always)]
        |range| {
            // SAFETY: every chunk has a partial sum of its own.
            let sums = unsafe { parts.row(range.start / chunk, cols) };
            sums.fill(S::ZERO);
            for row in range {
                add_row(row, sums);
            }
        },
    );
    write.begin(out);
    for sums in partial.chunks_exact(cols) {
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out += sum;
        }
    }
}
