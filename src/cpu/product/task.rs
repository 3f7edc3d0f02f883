//! A rectangle of a product, done by one thread, in blocks that fit the caches.
//!
//! Blocks along the inner extent depend on nothing but that extent, and their sums are added in
//! order, so a product has the same bits with any number of threads.

use std::ops::Range;

use super::grid::MAX_COLS;
use super::kernel::{self, Order, Tile};
use super::left::{self, DEPTH, PANEL, ROWS};
use super::matrix::{Matrix, Right};
use super::panels::{self, WIDTH};
use crate::cpu::rows::Parts;
use crate::cpu::simd::{Simd, WithSimd, prefetch};
use crate::scalar::Scalar;
use crate::write::Write;

/// Panels that are packed at once of a left operand whose columns lie one after the other.
const GROUP: usize = 16;
/// Elements of a task's packed block of the right operand.
const BLOCK: usize = MAX_COLS * WIDTH * DEPTH;
/// Elements of memory that a task needs.
pub(super) const MEMORY: usize = BLOCK + GROUP * PANEL;

/// A product whose extents agree.
pub(super) struct Product<'a, S, F> {
    pub out: Parts<'a, S>,
    pub write: Write,
    pub left: Matrix<'a, S>,
    pub right: Right<'a, S>,
    pub cols: usize,
    pub then: F,
}

/// A part of a product: panels of rows and of columns.
pub(super) struct Task<'a, S, F> {
    pub product: &'a Product<'a, S, F>,
    pub rows: Range<usize>,
    pub cols: Range<usize>,
    /// The first panel of columns of the next task.
    pub next: usize,
    /// [`MEMORY`] elements.
    pub memory: &'a mut [S],
}

/// A block along the inner extent.
struct Step {
    inner: Range<usize>,
    first: bool,
    last: bool,
}

impl Step {
    /// Block `number` of an inner extent, cut into equal blocks.
    #[inline(always)]
    fn new(inner: usize, number: usize) -> Self {
        let count = Self::count(inner);
        let depth = inner.div_ceil(count);
        let range = number * depth..((number + 1) * depth).min(inner);
        Self { inner: range, first: number == 0, last: number + 1 == count }
    }

    #[inline(always)]
    fn count(inner: usize) -> usize {
        inner.div_ceil(DEPTH).max(1)
    }
}

/// A block of the right operand: panels that begin `stride` apart, and where those of the block
/// after it begin, `stride` apart too.
struct Block<'a, S> {
    values: &'a [S],
    next: &'a [S],
    stride: usize,
}

impl<S: Scalar, F: Fn(usize, usize, &mut [S]) + Sync> WithSimd for Task<'_, S, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<M: Simd>(self, simd: M) {
        let Self { product, rows, cols, next, memory } = self;
        let (packed, left_packed) = memory.split_at_mut(BLOCK);
        let left = product.left;
        let group = if left.order() == Order::Rows { 1 } else { GROUP };
        for number in 0..Step::count(left.cols) {
            let step = Step::new(left.cols, number);
            let right = product.block(&step, cols.clone(), next, packed);
            for first in rows.clone().step_by(group) {
                let end = (first + group).min(rows.end) * ROWS;
                let rows = first * ROWS..end.min(left.rows);
                left::pack(left, rows.clone(), step.inner.clone(), left_packed);
                product.group(simd, &step, (left_packed, rows), &right, cols.clone());
            }
        }
    }
}

impl<S: Scalar, F: Fn(usize, usize, &mut [S]) + Sync> Product<'_, S, F> {
    /// The panels `cols` of the right operand, packed into `packed` if they are not yet.
    #[inline(always)]
    fn block<'a>(
        &'a self,
        step: &Step,
        cols: Range<usize>,
        next: usize,
        packed: &'a mut [S],
    ) -> Block<'a, S> {
        match self.right {
            Right::Panels(panels) => {
                let from = |panel, row| &panels.values[(panel * panels.rows + row) * WIDTH..];
                let next = match step.last {
                    true => from(next, 0),
                    false => from(cols.start, step.inner.end),
                };
                let values = from(cols.start, step.inner.start);
                Block { values, next, stride: panels.rows * WIDTH }
            }
            Right::Matrix(matrix) => {
                panels::pack(matrix, step.inner.clone(), cols, packed);
                // What comes next is not packed yet; asking for nowhere would cost a page walk.
                Block { values: packed, next: packed, stride: step.inner.len() * WIDTH }
            }
        }
    }

    /// Packed rows times packed columns.
    #[inline(always)]
    fn group<M: Simd>(
        &self,
        simd: M,
        step: &Step,
        (left, rows): (&[S], Range<usize>),
        right: &Block<S>,
        cols: Range<usize>,
    ) {
        let order = self.left.order();
        let depth = step.inner.len();
        let mut tile = Tile([[S::ZERO; WIDTH]; ROWS]);
        for (panel, row) in rows.clone().step_by(ROWS).enumerate() {
            let count = ROWS.min(rows.end - row);
            let left = &left[panel * PANEL..][..PANEL];
            let share = kernel::next_share::<S>(row / ROWS, depth);
            for (panel, col) in cols.clone().enumerate() {
                if order == Order::Rows {
                    self.ask_for_rows(step, row + ROWS, panel, cols.len());
                }
                let values = &right.values[panel * right.stride..][..depth * WIDTH];
                let next = right.next.as_ptr().wrapping_add(panel * right.stride + share);
                // SAFETY: both panels are packed, `depth` long inside, and in bounds as just cut.
                unsafe {
                    let (left, right) = ((left.as_ptr(), order), (values.as_ptr(), next));
                    kernel::multiply(simd, left, right, (count, depth), &mut tile);
                }
                self.settle(step, &mut tile.0[..count], row, col * WIDTH);
            }
        }
    }

    /// Asks for part `part` of `parts` of the left panel that begins at `row`.
    #[inline(always)]
    fn ask_for_rows(&self, step: &Step, row: usize, part: usize, parts: usize) {
        let share = ROWS.div_ceil(parts);
        let end = (row + ROWS).min(self.left.rows);
        for row in row + part * share..end.min(row + (part + 1) * share) {
            let at = row * self.left.row_stride + step.inner.start;
            prefetch(self.left.values, at, step.inner.len());
        }
    }

    /// Adds a tile to what `out` holds of earlier blocks and finishes it after the last.
    #[inline(always)]
    fn settle(&self, step: &Step, tile: &mut [[S; WIDTH]], row: usize, col: usize) {
        let width = WIDTH.min(self.cols - col);
        for (row, sums) in (row..).zip(tile) {
            let at = row * self.cols + col;
            // SAFETY: no two tasks share an element.
            let out = unsafe { self.out.part(at..at + width) };
            match out.first_chunk_mut::<WIDTH>() {
                Some(out) => self.settle_row(step, (row, col), sums, out),
                None => self.settle_row(step, (row, col), &mut sums[..width], out),
            }
        }
    }

    #[inline(always)]
    fn settle_row(&self, step: &Step, (row, col): (usize, usize), sums: &mut [S], out: &mut [S]) {
        if !step.first || self.write == Write::Add {
            for (sum, &out) in sums.iter_mut().zip(&*out) {
                *sum += out;
            }
        }
        if step.last {
            (self.then)(row, col, sums);
        }
        out.copy_from_slice(sums);
    }
}
