//! Products on all threads.

use super::grid::Grid;
use super::matrix::{Matrix, MatrixMut, Right};
use super::task::{self, Product, Task};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::with_simd;
use crate::scalar::Scalar;
use crate::write::Write;

/// `out = left right` or `out += left right`, on all threads where the product is large enough.
pub fn multiply<S: Scalar>(out: MatrixMut<S>, write: Write, left: Matrix<S>, right: Matrix<S>) {
    run(
        out,
        write,
        left,
        Right::Matrix(right),
        #[inline(always)]
        |_, _, _| {},
    );
}

/// `out = then(left right)`: `then(row, col, sums)` makes of finished sums, which lie in one row and
/// begin at `row` and `col`, what `out` is to hold. Every element is finished once, on any thread,
/// inside [`vectorised`](crate::cpu::simd::vectorised): mark `then` as said there.
pub fn multiply_then<S: Scalar>(
    out: MatrixMut<S>,
    left: Matrix<S>,
    right: Right<S>,
    then: impl Fn(usize, usize, &mut [S]) + Sync,
) {
    run(out, Write::Set, left, right, then);
}

fn run<S: Scalar>(
    out: MatrixMut<S>,
    write: Write,
    left: Matrix<S>,
    right: Right<S>,
    then: impl Fn(usize, usize, &mut [S]) + Sync,
) {
    let (inner, cols) = right.extents();
    assert_eq!(left.cols, inner, "inner extents of a product differ");
    assert_eq!((out.rows, out.cols), (left.rows, cols), "extents of a product's result differ");
    let grid = Grid::new(out.rows, cols, inner, matches!(right, Right::Panels(_)));
    let product = Product { out: Parts::new(out.values), write, left, right, cols, then };
    rows::for_tasks(grid.tasks(), |number| {
        with_scratch(task::MEMORY, |memory| {
            let [rows, cols] = grid.task(number);
            let [_, next] = grid.task((number + 1) % grid.tasks());
            with_simd(Task { product: &product, rows, cols, next: next.start, memory });
        });
    });
}
