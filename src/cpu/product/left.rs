//! The left operand packed: panels of [`ROWS`] rows, in the order their elements lie in memory.

use std::ops::Range;

use super::kernel::Order;
use super::matrix::Matrix;
use crate::cpu::simd::prefetch;
use crate::scalar::Scalar;

/// Rows of a panel: what the kernel does at once.
pub(super) const ROWS: usize = 6;
/// Inner extent of the longest panel.
pub(super) const DEPTH: usize = 512;
/// Distance of a panel's rows where it has rows: one line more than the longest, as rows a power of
/// two apart would fall on the same few places of the cache.
pub(super) const ROW_STRIDE: usize = DEPTH + 16;
/// Elements of a panel's column that are copied at once: a vector holds them.
const VECTOR: usize = 8;
/// Columns that are asked for ahead.
const AHEAD: usize = 4;
/// Elements between panels.
pub(super) const PANEL: usize = ROWS * ROW_STRIDE;

/// Packs the columns `inner` of `rows`. The last panel is filled up to an even number of rows, with
/// zeros or with what lies beyond: their sums are not used.
#[inline(always)]
pub(super) fn pack<S: Scalar>(
    matrix: Matrix<S>,
    rows: Range<usize>,
    inner: Range<usize>,
    packed: &mut [S],
) {
    match matrix.order() {
        Order::Rows => pack_rows(matrix, rows, inner, packed),
        Order::Columns => pack_columns(matrix, rows, inner, packed),
    }
}

/// Row `r` of a panel begins at `r * ROW_STRIDE`.
#[inline(always)]
fn pack_rows<S: Scalar>(
    matrix: Matrix<S>,
    rows: Range<usize>,
    inner: Range<usize>,
    packed: &mut [S],
) {
    let count = rows.len();
    for (r, row) in rows.enumerate() {
        let row = &matrix.values[row * matrix.row_stride..][inner.clone()];
        packed[r * ROW_STRIDE..][..row.len()].copy_from_slice(row);
    }
    for r in count..count.next_multiple_of(2) {
        packed[r * ROW_STRIDE..][..inner.len()].fill(S::ZERO);
    }
}

/// Column `k` of a panel begins at `k * ROWS`.
#[inline(always)]
fn pack_columns<S: Scalar>(
    matrix: Matrix<S>,
    rows: Range<usize>,
    inner: Range<usize>,
    packed: &mut [S],
) {
    for (k, col) in inner.enumerate() {
        let start = col * matrix.col_stride + rows.start;
        prefetch(matrix.values, start + AHEAD * matrix.col_stride, rows.len());
        for panel in 0..rows.len().div_ceil(ROWS) {
            let col = &matrix.values[start + panel * ROWS..];
            let packed = &mut packed[panel * PANEL + k * ROWS..][..VECTOR];
            match col.first_chunk::<VECTOR>() {
                // What is too much is overwritten by the next column, or never read.
                Some(col) => packed.copy_from_slice(col),
                None => {
                    let count = col.len().min(ROWS);
                    packed[..count].copy_from_slice(&col[..count]);
                    packed[count..].fill(S::ZERO);
                }
            }
        }
    }
}
