//! Window attention on the CPU, forward: rectangle by rectangle, everything between packing and
//! writing in the cache.

use super::WindowAttention;
use super::problem::{Place, Problem, Task};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::vectorised;
use crate::cpu::softmax::softmax;
use crate::cpu::tile::{Extents, Left, Right, Start, product};
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

/// Queries whose scores are held at once.
pub const BLOCK: usize = 48;

impl<S: Scalar> OnCpu<S> for WindowAttention {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let Some(problem) = Problem::new(self, pass.inputs.shape(0)) else { return };
        let [qkv, bias, table] = [0, 1, 2].map(|i| pass.inputs.real(i));
        let source = Source { problem: &problem, qkv, bias, table };
        let lse = pass.kept.pop().map(Parts::new);
        let out = Parts::new(pass.out);
        rows::for_tasks(problem.task_count(), |number| {
            source.forward(&problem.task(number), &out, lse.as_ref());
        });
    }

    fn backward(&self, pass: Backward<'_, S>) {
        super::backward::backward(self, pass);
    }
}

/// The inputs of a window attention.
#[derive(Clone, Copy)]
pub struct Source<'a, S> {
    pub problem: &'a Problem,
    pub qkv: &'a [S],
    pub bias: &'a [S],
    pub table: &'a [S],
}

/// Which third of `qkv`'s columns.
#[derive(Clone, Copy)]
pub enum Part {
    Query,
    Key,
    Value,
}

impl<S: Scalar> Source<'_, S> {
    fn forward(&self, task: &Task, out: &Parts<S>, lse: Option<&Parts<S>>) {
        let Problem { head_dim, window, .. } = *self.problem;
        let (queries, keys, lanes) = (task.queries(), task.keys(), task.key_lanes());
        let width = self.problem.head_lanes();
        let sizes =
            [queries * lanes, head_dim * lanes, keys * width, queries * width, BLOCK * lanes];
        with_scratch(sizes.iter().sum(), |scratch: &mut [S]| {
            let [offsets, keys_t, values, rows, scores] = split(scratch, sizes);
            self.spread_table(task, offsets, scores);
            for place in task.places(window) {
                self.pack(task, place, Part::Query, self.scale(), rows);
                self.pack_transposed(task, place, Part::Key, keys_t);
                self.pack(task, place, Part::Value, S::ONE, values);
                for first in (0..queries).step_by(BLOCK) {
                    let count = BLOCK.min(queries - first);
                    let extents = Extents { rows: count, inner: head_dim, cols: lanes };
                    let left =
                        Left { values: &rows[first * width..], row_stride: width, col_stride: 1 };
                    let right = Right { values: keys_t, stride: lanes };
                    let start = Start::Of(&offsets[first * lanes..]);
                    product(scores, lanes, start, left, right, extents);
                    vectorised(
                        #[inline(always)]
                        || self.normalise(task, place, first, count, scores, lse),
                    );
                    let extents = Extents { rows: count, inner: keys, cols: width };
                    let left = Left { values: scores, row_stride: lanes, col_stride: 1 };
                    let right = Right { values, stride: width };
                    product(&mut rows[first * width..], width, Start::Zero, left, right, extents);
                }
                self.write(task, place, rows, out);
            }
        });
    }

    /// Probabilities of a block of scores, and their `lse`.
    #[inline(always)]
    fn normalise(
        &self,
        task: &Task,
        place: Place,
        first: usize,
        count: usize,
        scores: &mut [S],
        lse: Option<&Parts<S>>,
    ) {
        let lanes = task.key_lanes();
        for (i, scores) in scores.chunks_exact_mut(lanes).take(count).enumerate() {
            let sum = softmax(scores);
            if let Some(lse) = lse {
                let at = self.statistic(task, place, first + i);
                // SAFETY: every query of a head is in one rectangle.
                unsafe { lse.part(at..at + 1)[0] = sum };
            }
        }
    }

    /// Where a query's `lse` is.
    #[inline(always)]
    pub fn statistic(&self, task: &Task, place: Place, query: usize) -> usize {
        let (row, col) = (query / task.real().1, query % task.real().1);
        let Problem { heads, height, width, .. } = *self.problem;
        let row = (place.image * heads + task.head) * height + place.row + row;
        row * width + place.col + col
    }

    pub fn scale(&self) -> S {
        S::from_f64(1.0 / (self.problem.head_dim as f64).sqrt())
    }

    /// Where this head's columns of a position of `[B, H, W, parts C]` begin.
    #[inline(always)]
    pub fn position(
        &self,
        task: &Task,
        place: Place,
        row: usize,
        col: usize,
        parts: usize,
    ) -> usize {
        let Problem { height, width, .. } = *self.problem;
        let row = (place.image * height + place.row + row) * width;
        (row + place.col + col) * parts * self.problem.channels()
            + task.head * self.problem.head_dim
    }

    /// This head's columns of position `(row, col)` of a rectangle, on the map or beside it.
    #[inline(always)]
    fn head(&self, task: &Task, place: Place, part: Part, row: usize, col: usize) -> &[S] {
        let (real, channels) = (task.real(), self.problem.channels());
        let first = part as usize * channels;
        if row < real.0 && col < real.1 {
            let start = self.position(task, place, row, col, 3) + first;
            &self.qkv[start..start + self.problem.head_dim]
        } else {
            let start = task.head * self.problem.head_dim + first;
            &self.bias[start..start + self.problem.head_dim]
        }
    }

    /// Rows of `head_lanes` elements, times `scale`: one a query, or one a key.
    pub fn pack(&self, task: &Task, place: Place, part: Part, scale: S, packed: &mut [S]) {
        let (rows, cols) = match part {
            Part::Query => task.real(),
            _ => task.extents(),
        };
        let packed = packed.chunks_exact_mut(self.problem.head_lanes());
        let positions = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
        vectorised(
            #[inline(always)]
            || {
                for (packed, (row, col)) in packed.zip(positions) {
                    let source = self.head(task, place, part, row, col);
                    let (packed, rest) = packed.split_at_mut(source.len());
                    packed.iter_mut().zip(source).for_each(|(packed, &x)| *packed = scale * x);
                    rest.fill(S::ZERO);
                }
            },
        );
    }

    /// One row for each channel of the head, one column for each key.
    pub fn pack_transposed(&self, task: &Task, place: Place, part: Part, packed: &mut [S]) {
        let ((rows, cols), lanes) = (task.extents(), task.key_lanes());
        let positions = (0..rows).flat_map(|row| (0..cols).map(move |col| (row, col)));
        for (key, (row, col)) in positions.enumerate() {
            let source = self.head(task, place, part, row, col);
            for (packed, &x) in packed.chunks_exact_mut(lanes).zip(source) {
                packed[key] = x;
            }
        }
        for packed in packed.chunks_exact_mut(lanes) {
            packed[task.keys()..].fill(S::ZERO);
        }
    }

    /// The table's value for every pair of query and key, minus infinity beyond the last key.
    ///
    /// `reversed` holds the head's table with its columns from the last to the first, in which
    /// the keys of one row follow each other; any memory of sufficient size.
    pub fn spread_table(&self, task: &Task, spread: &mut [S], reversed: &mut [S]) {
        let Problem { heads, window, .. } = *self.problem;
        let (side, lanes) = (2 * window - 1, task.key_lanes());
        let (rows, cols) = task.extents();
        for (row, reversed) in reversed.chunks_exact_mut(side).take(side).enumerate() {
            for (i, x) in reversed.iter_mut().enumerate() {
                *x = self.table[(row * side + side - 1 - i) * heads + task.head];
            }
        }
        for (query, spread) in spread.chunks_exact_mut(lanes).enumerate() {
            let (y, x) = (query / task.real().1, query % task.real().1);
            for (row, spread) in spread.chunks_exact_mut(cols).take(rows).enumerate() {
                let start = (y + window - 1 - row) * side + window - 1 - x;
                spread.copy_from_slice(&reversed[start..start + cols]);
            }
            spread[task.keys()..].fill(S::NEG_INFINITY);
        }
    }

    /// Rows of `head_lanes` elements into the head's columns of `out`.
    fn write(&self, task: &Task, place: Place, rows: &[S], out: &Parts<S>) {
        let (head_dim, cols) = (self.problem.head_dim, task.real().1);
        for (query, values) in rows.chunks_exact(self.problem.head_lanes()).enumerate() {
            let start = self.position(task, place, query / cols, query % cols, 1);
            // SAFETY: every position of a head is in one rectangle.
            let out = unsafe { out.part(start..start + head_dim) };
            out.copy_from_slice(&values[..head_dim]);
        }
    }
}

/// Cuts memory into pieces of the given lengths.
pub fn split<const N: usize, S>(mut memory: &mut [S], lengths: [usize; N]) -> [&mut [S]; N] {
    lengths.map(|len| {
        let (piece, rest) = std::mem::take(&mut memory).split_at_mut(len);
        memory = rest;
        piece
    })
}
