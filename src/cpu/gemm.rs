//! Matrix products: the one call of the gemm crate.
//!
//! The crate sums every element over the inner extent in an order that does not depend on the
//! number of threads (`tests/ops/gemm.rs` holds it to that), so a product has the same bits with
//! any number of them.

use crate::scalar::Scalar;
use crate::write::Write;

/// Products with fewer multiplications than this run on the calling thread.
const PARALLEL_FROM: usize = 1 << 18;

/// A matrix seen in a slice: element `(r, c)` is at `r * row_stride + c * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, S> {
    values: &'a [S],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, S> Matrix<'a, S> {
    /// `rows` rows of `cols` elements, one after the other.
    pub fn new(values: &'a [S], rows: usize, cols: usize) -> Self {
        Self::strided(values, rows, cols, cols)
    }

    /// Rows that start `row_stride` elements apart.
    pub fn strided(values: &'a [S], rows: usize, cols: usize, row_stride: usize) -> Self {
        check_extent(values.len(), rows, cols, row_stride);
        Self { values, rows, cols, row_stride, col_stride: 1 }
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
    values: &'a mut [S],
    rows: usize,
    cols: usize,
    row_stride: usize,
}

impl<'a, S> MatrixMut<'a, S> {
    pub fn new(values: &'a mut [S], rows: usize, cols: usize) -> Self {
        Self::strided(values, rows, cols, cols)
    }

    pub fn strided(values: &'a mut [S], rows: usize, cols: usize, row_stride: usize) -> Self {
        check_extent(values.len(), rows, cols, row_stride);
        Self { values, rows, cols, row_stride }
    }
}

fn check_extent(len: usize, rows: usize, cols: usize, row_stride: usize) {
    let needed = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * row_stride + cols };
    assert!(needed <= len, "a {rows} x {cols} matrix needs {needed} elements, the slice has {len}");
}

/// `out = lhs rhs` or `out += lhs rhs`, on all threads where the product is large enough.
pub fn multiply<S: Scalar>(out: MatrixMut<S>, write: Write, lhs: Matrix<S>, rhs: Matrix<S>) {
    let threads = if out.rows * out.cols * lhs.cols < PARALLEL_FROM {
        gemm::Parallelism::None
    } else {
        gemm::Parallelism::Rayon(rayon::current_num_threads())
    };
    product(out, write, S::ONE, lhs, rhs, threads);
}

/// `out = scale lhs rhs` (or added), on the calling thread: for use inside a parallel loop.
pub fn multiply_here<S: Scalar>(
    out: MatrixMut<S>,
    write: Write,
    scale: S,
    lhs: Matrix<S>,
    rhs: Matrix<S>,
) {
    product(out, write, scale, lhs, rhs, gemm::Parallelism::None);
}

fn product<S: Scalar>(
    out: MatrixMut<S>,
    write: Write,
    scale: S,
    lhs: Matrix<S>,
    rhs: Matrix<S>,
    threads: gemm::Parallelism,
) {
    assert_eq!(lhs.cols, rhs.rows, "inner extents of a product differ");
    assert_eq!((out.rows, out.cols), (lhs.rows, rhs.cols), "extents of a product's result differ");
    if out.rows == 0 || out.cols == 0 {
        return;
    }
    // SAFETY: every element (r, c) of the three matrices lies in its slice (`check_extent`; a
    // transposed view has the same elements), `out` is exclusively ours, extents agree (asserted).
    unsafe {
        gemm::gemm(
            out.rows,
            out.cols,
            lhs.cols,
            out.values.as_mut_ptr(),
            1,
            out.row_stride as isize,
            write == Write::Add,
            lhs.values.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.values.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            S::ONE,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}
