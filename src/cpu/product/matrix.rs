//! Matrices seen in slices.

use super::kernel::Order;
use super::panels::Panels;

/// A matrix seen in a slice: element `(r, c)` is at `r * row_stride + c * col_stride`, and one of
/// the strides is 1.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, S> {
    pub(super) values: &'a [S],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a, S> Matrix<'a, S> {
    /// `rows` rows of `cols` elements, one after the other.
    pub fn new(values: &'a [S], rows: usize, cols: usize) -> Self {
        check_extent(values.len(), rows, cols);
        Self { values, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// How panels of the left operand are packed of it.
    pub(super) fn order(&self) -> Order {
        if self.col_stride == 1 { Order::Rows } else { Order::Columns }
    }

    /// The transposed matrix of the same elements.
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to write to, row by row.
#[derive(Debug)]
pub struct MatrixMut<'a, S> {
    pub(super) values: &'a mut [S],
    pub(super) rows: usize,
    pub(super) cols: usize,
}

impl<'a, S> MatrixMut<'a, S> {
    pub fn new(values: &'a mut [S], rows: usize, cols: usize) -> Self {
        check_extent(values.len(), rows, cols);
        Self { values, rows, cols }
    }
}

fn check_extent(len: usize, rows: usize, cols: usize) {
    let needed = rows * cols;
    assert!(needed <= len, "a {rows} x {cols} matrix needs {needed} elements, the slice has {len}");
}

/// The right operand of a product.
#[derive(Clone, Copy, Debug)]
pub enum Right<'a, S> {
    Matrix(Matrix<'a, S>),
    /// Packed before, for many products.
    Panels(Panels<'a, S>),
}

impl<S> Right<'_, S> {
    /// Rows and columns.
    pub(super) fn extents(&self) -> (usize, usize) {
        match self {
            Right::Matrix(matrix) => (matrix.rows, matrix.cols),
            Right::Panels(panels) => (panels.rows, panels.cols),
        }
    }
}
