//! Window attention on the CPU, forward: rectangle by rectangle, everything between packing and
//! writing in the cache.

use std::ops::Range;

use super::WindowAttention;
use super::problem::{Place, Problem, Task};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::{prefetch, vectorised};
use crate::cpu::softmax::exponentials;
use crate::cpu::tile::{Extents, Left, Right, Start, fill_row, pieces, product, transpose};
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
        let block = (BLOCK * lanes).max(self.problem.displacements());
        let sizes = [
            queries * lanes,
            lanes * width,
            head_dim * lanes,
            keys * width,
            queries * width,
            block,
            queries,
        ];
        with_scratch(sizes.iter().sum(), |scratch: &mut [S]| {
            let [offsets, k, kt, v, rows, scores, factors] = pieces(scratch, sizes);
            self.spread_table(task, offsets, scores);
            let mut places = task.places(window).peekable();
            while let Some(place) = places.next() {
                let next = places.peek().copied();
                self.pack(task, place, Part::Query, self.scale(), rows);
                self.pack(task, place, Part::Key, S::ONE, k);
                transpose(k, width, kt, lanes);
                self.pack(task, place, Part::Value, S::ONE, v);
                for first in (0..queries).step_by(BLOCK) {
                    let range = first..queries.min(first + BLOCK);
                    let extents = Extents { rows: range.len(), inner: head_dim, cols: lanes };
                    let left = Left::rows(&rows[first * width..], width);
                    let right = Right { values: kt, stride: lanes };
                    let start = Start::Of(&offsets[first * lanes..]);
                    product(scores, lanes, start, left, right, extents);
                    self.exponentials(task, place, next, range.clone(), scores, factors, lse);
                    let extents = Extents { rows: range.len(), inner: keys, cols: width };
                    let left = Left::rows(scores, lanes);
                    let right = Right { values: v, stride: width };
                    product(&mut rows[first * width..], width, Start::Zero, left, right, extents);
                }
                self.write(task, place, rows, factors, out);
            }
        });
    }

    /// Exponentials of the scores of some queries, the factors that make probabilities of them,
    /// and their `lse`. Between rows the next rectangle is asked for.
    #[allow(clippy::too_many_arguments)]
    fn exponentials(
        &self,
        task: &Task,
        place: Place,
        next: Option<Place>,
        queries: Range<usize>,
        scores: &mut [S],
        factors: &mut [S],
        lse: Option<&Parts<S>>,
    ) {
        vectorised(
            #[inline(always)]
            || {
                for (query, scores) in queries.zip(scores.chunks_exact_mut(task.key_lanes())) {
                    if let Some(next) = next {
                        self.prefetch(task, next, query);
                    }
                    let (factor, logarithm) = exponentials(scores);
                    factors[query] = factor;
                    if let Some(lse) = lse {
                        let at = self.statistic(task, place, query);
                        // SAFETY: every query of a head is in one rectangle.
                        unsafe { lse.part(at..at + 1)[0] = logarithm };
                    }
                }
            },
        );
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

    /// Asks for q, k and v of one position of the next rectangle, between computations on this
    /// one: a head's columns lie too far apart for the machine to foresee, and asking for all of
    /// them at once would wait for the first.
    #[inline(always)]
    pub fn prefetch(&self, task: &Task, place: Place, query: usize) {
        let (channels, head_dim) = (self.problem.channels(), self.problem.head_dim);
        let (row, col) = (query / task.real().1, query % task.real().1);
        let start = self.position(task, place, row, col, 3);
        for part in 0..3 {
            prefetch(self.qkv, start + part * channels, head_dim);
        }
    }

    /// Rows of `head_lanes` elements, times `scale`: one a query, or one a key, those of padded
    /// positions included; zeros in what is left of `packed`.
    pub fn pack(&self, task: &Task, place: Place, part: Part, scale: S, packed: &mut [S]) {
        let (rows, cols) = match part {
            Part::Query => task.real(),
            _ => task.extents(),
        };
        let width = self.problem.head_lanes();
        let (packed, rest) = packed.split_at_mut(rows * cols * width);
        rest.fill(S::ZERO);
        vectorised(
            #[inline(always)]
            || {
                for (row, packed) in packed.chunks_exact_mut(cols * width).enumerate() {
                    for (col, packed) in packed.chunks_exact_mut(width).enumerate() {
                        fill_row(packed, self.head(task, place, part, row, col), scale);
                    }
                }
            },
        );
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

    /// Rows of `head_lanes` elements, each times its factor, into the head's columns of `out`.
    fn write(&self, task: &Task, place: Place, rows: &[S], factors: &[S], out: &Parts<S>) {
        let (head_dim, cols) = (self.problem.head_dim, task.real().1);
        let rows = rows.chunks_exact(self.problem.head_lanes()).zip(factors);
        vectorised(
            #[inline(always)]
            || {
                for (query, (values, &factor)) in rows.enumerate() {
                    let start = self.position(task, place, query / cols, query % cols, 1);
                    // SAFETY: every position of a head is in one rectangle.
                    let out = unsafe { out.part(start..start + head_dim) };
                    fill_row(out, &values[..head_dim], factor);
                }
            },
        );
    }
}
