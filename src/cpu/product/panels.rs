//! The right operand packed: panels of [`WIDTH`] columns, each row by row, so that the kernel reads
//! it in one sweep.

use std::ops::Range;

use super::matrix::Matrix;
use crate::cpu::simd::prefetch;
use crate::scalar::Scalar;

/// Columns of a panel: what the widest kernel does at once, and a multiple of what others do.
pub(super) const WIDTH: usize = 64;
/// Rows of a transposed matrix that are turned at a time: a cache line of each column.
const TURN: usize = 16;

/// A `rows x cols` matrix packed into panels of all its rows; the last is filled up with zeros.
#[derive(Clone, Copy, Debug)]
pub struct Panels<'a, S> {
    pub(super) values: &'a [S],
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl<'a, S: Scalar> Panels<'a, S> {
    /// What [`Panels::pack`] left in `values` for a matrix of these extents.
    pub fn new(values: &'a [S], rows: usize, cols: usize) -> Self {
        let needed = Self::len(rows, cols);
        assert!(values.len() >= needed, "{rows} x {cols} in panels takes {needed} elements");
        Self { values, rows, cols }
    }

    /// Elements that a matrix of these extents takes.
    pub fn len(rows: usize, cols: usize) -> usize {
        rows * cols.next_multiple_of(WIDTH)
    }

    /// Packs `matrix` into `values`.
    pub fn pack(matrix: Matrix<S>, values: &mut [S]) {
        let panels = 0..matrix.cols.div_ceil(WIDTH);
        pack(matrix, 0..matrix.rows, panels, values);
    }

    /// The matrix of the panels, transposed, row by row.
    pub fn unpack_transposed(&self, values: &mut [S]) {
        for (col, values) in values.chunks_exact_mut(self.rows.max(1)).enumerate() {
            let first = col / WIDTH * WIDTH * self.rows + col % WIDTH;
            for (row, x) in values.iter_mut().enumerate() {
                *x = self.values[first + row * WIDTH];
            }
        }
    }
}

/// Packs `rows` of the columns of `panels`, one panel after the other.
#[inline(always)]
pub(super) fn pack<S: Scalar>(
    matrix: Matrix<S>,
    rows: Range<usize>,
    panels: Range<usize>,
    packed: &mut [S],
) {
    assert!(rows.end <= matrix.rows && panels.len() * WIDTH * rows.len() <= packed.len());
    if matrix.col_stride == 1 {
        pack_rows(matrix, rows, panels, packed);
        return;
    }
    let len = WIDTH * rows.len();
    for (panel, packed) in panels.zip(packed.chunks_exact_mut(len.max(1))) {
        pack_transposed(matrix, rows.clone(), panel, packed);
    }
}

/// Packs pieces of rows.
#[inline(always)]
fn pack_rows<S: Scalar>(
    matrix: Matrix<S>,
    rows: Range<usize>,
    panels: Range<usize>,
    packed: &mut [S],
) {
    let depth = rows.len();
    for (k, row) in rows.enumerate() {
        let row = &matrix.values[row * matrix.row_stride..][..matrix.cols];
        let row = &row[(panels.start * WIDTH).min(row.len())..];
        for (panel, piece) in row.chunks(WIDTH).take(panels.len()).enumerate() {
            let packed = &mut packed[(panel * depth + k) * WIDTH..][..WIDTH];
            match piece.first_chunk::<WIDTH>() {
                Some(piece) => packed.copy_from_slice(piece),
                None => {
                    packed[..piece.len()].copy_from_slice(piece);
                    packed[piece.len()..].fill(S::ZERO);
                }
            }
        }
    }
}

/// Packs a panel of a matrix whose columns lie one after the other.
#[inline(always)]
fn pack_transposed<S: Scalar>(
    matrix: Matrix<S>,
    rows: Range<usize>,
    panel: usize,
    packed: &mut [S],
) {
    let cols = panel * WIDTH..((panel + 1) * WIDTH).min(matrix.cols);
    let depth = rows.len();
    for (group, packed) in packed.chunks_mut(TURN * WIDTH).enumerate() {
        let first = rows.start + group * TURN;
        let count = (depth - group * TURN).min(TURN);
        for (c, col) in cols.clone().enumerate() {
            let at = col * matrix.col_stride + first;
            prefetch(matrix.values, at + 2 * TURN, TURN);
            let col = &matrix.values[at..][..count];
            match (col.first_chunk::<TURN>(), packed.first_chunk_mut::<{ TURN * WIDTH }>()) {
                (Some(col), Some(packed)) => {
                    (0..TURN).for_each(|k| packed[k * WIDTH + c] = col[k]);
                }
                _ => (0..count).for_each(|k| packed[k * WIDTH + c] = col[k]),
            }
        }
        for row in packed.chunks_exact_mut(WIDTH) {
            row[cols.len()..].fill(S::ZERO);
        }
    }
}
