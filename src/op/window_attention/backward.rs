//! Window attention on the CPU, backward: probabilities again from the kept `lse`, five products a
//! rectangle, and the table's and padding's gradients as one partial sum a task.

use std::ops::Range;

use super::WindowAttention;
use super::cpu::{BLOCK, Part, Source};
use super::problem::{Place, Problem, Task};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::{prefetch, vectorised};
use crate::cpu::softmax::softmax_backward;
use crate::cpu::tile::{Extents, Left, Right, Start, fill_row, pieces, product, transpose};
use crate::op::contract::{Backward, Gradient};
use crate::scalar::Scalar;
use crate::write::Write;

/// What the tasks of a backward pass share.
struct Pass<'a, S> {
    source: Source<'a, S>,
    lse: &'a [S],
    dout: &'a [S],
    dqkv: Option<(Parts<'a, S>, Write)>,
}

pub fn backward<S: Scalar>(op: &WindowAttention, mut pass: Backward<'_, S>) {
    let Some(problem) = Problem::new(op, pass.inputs.shape(0)) else { return };
    let [qkv, bias, table] = [0, 1, 2].map(|i| pass.inputs.real(i));
    let [dqkv, dbias, dtable] = [0, 1, 2].map(|i| pass.gradient(i));
    let source = Source { problem: &problem, qkv, bias, table };
    let dqkv = dqkv.map(|g| (Parts::new(g.values), g.write));
    let shared = Pass { source, lse: pass.kept[0], dout: pass.dout, dqkv };
    let partial_len = problem.partial_len();
    let partials = Parts::new(pass.workspace);
    rows::for_tasks(problem.task_count(), |number| {
        // SAFETY: every task has a partial sum of its own.
        let partial = unsafe { partials.row(number, partial_len) };
        shared.task(&problem.task(number), partial);
    });
    sum_partials(&problem, pass.workspace, dbias, dtable);
}

/// Memory for a rectangle: rows of queries and keys, `k` and `v` transposed, a block of scores.
struct Rows<'a, S> {
    q: &'a mut [S],
    dout: &'a mut [S],
    k: &'a mut [S],
    dk: &'a mut [S],
    dv: &'a mut [S],
    kt: &'a mut [S],
    vt: &'a mut [S],
    p: &'a mut [S],
    ds: &'a mut [S],
}

/// A rectangle, and the one to be done after it.
#[derive(Clone, Copy)]
struct Rectangle<'a> {
    task: &'a Task,
    place: Place,
    next: Option<Place>,
}

impl<S: Scalar> Pass<'_, S> {
    /// All rectangles of a task; `partial` becomes the sums of the table's gradient, with its
    /// columns from the last to the first, and of the padding's `dk` and `dv`.
    fn task(&self, task: &Task, partial: &mut [S]) {
        let problem = self.source.problem;
        let (queries, keys, lanes) = (task.queries(), task.keys(), task.key_lanes());
        let width = problem.head_lanes();
        let (of_queries, of_keys) = (queries * width, keys * width);
        let (pairs, transposed) = (queries * lanes, problem.head_dim * lanes);
        let block = (BLOCK * lanes).max(problem.displacements());
        #[rustfmt::skip]
        let sizes = [
            pairs, pairs, of_queries, of_queries, lanes * width, of_keys, of_keys,
            transposed, transposed, block, block,
        ];
        partial.fill(S::ZERO);
        let (dtable, padding) = partial.split_at_mut(problem.displacements());
        with_scratch(sizes.iter().sum(), |scratch: &mut [S]| {
            let [offsets, doffsets, q, dout, k, dk, dv, kt, vt, p, ds] = pieces(scratch, sizes);
            self.source.spread_table(task, offsets, p);
            doffsets.fill(S::ZERO);
            let mut rows = Rows { q, dout, k, dk, dv, kt, vt, p, ds };
            let mut places = task.places(problem.window).peekable();
            while let Some(place) = places.next() {
                let rectangle = Rectangle { task, place, next: places.peek().copied() };
                self.rectangle(rectangle, offsets, doffsets, &mut rows, padding);
            }
            gather_table(problem, task, doffsets, dtable);
        });
    }

    /// Writes a rectangle's part of `dqkv`, adds to the gradient of its pairs and of padding.
    fn rectangle(
        &self,
        rectangle: Rectangle,
        offsets: &[S],
        doffsets: &mut [S],
        rows: &mut Rows<S>,
        padding: &mut [S],
    ) {
        let Rectangle { task, place, .. } = rectangle;
        let (lanes, width) = (task.key_lanes(), self.source.problem.head_lanes());
        self.source.pack(task, place, Part::Query, self.source.scale(), rows.q);
        self.source.pack(task, place, Part::Value, S::ONE, rows.k);
        transpose(rows.k, width, rows.vt, lanes);
        self.source.pack(task, place, Part::Key, S::ONE, rows.k);
        transpose(rows.k, width, rows.kt, lanes);
        self.pack_dout(task, place, rows.dout);
        rows.dk.fill(S::ZERO);
        rows.dv.fill(S::ZERO);
        for first in (0..task.queries()).step_by(BLOCK) {
            let queries = first..task.queries().min(first + BLOCK);
            let pairs = first * lanes..queries.end * lanes;
            self.block(rectangle, queries, &offsets[pairs.clone()], &mut doffsets[pairs], rows);
        }
        self.put(task, place, Part::Query, self.source.scale(), rows.q, &mut []);
        let (dk_padding, dv_padding) = padding.split_at_mut(width);
        self.put(task, place, Part::Key, S::ONE, rows.dk, dk_padding);
        self.put(task, place, Part::Value, S::ONE, rows.dv, dv_padding);
    }

    /// A block of queries: adds to `dk`, `dv` and the pairs' gradient, and replaces `q` by `dq`.
    fn block(
        &self,
        rectangle: Rectangle,
        queries: Range<usize>,
        offsets: &[S],
        doffsets: &mut [S],
        rows: &mut Rows<S>,
    ) {
        let (task, head_dim) = (rectangle.task, self.source.problem.head_dim);
        let (lanes, width) = (task.key_lanes(), self.source.problem.head_lanes());
        let (p, ds) = (&mut rows.p[..offsets.len()], &mut rows.ds[..offsets.len()]);
        let q = &mut rows.q[queries.start * width..queries.end * width];
        let dout = &rows.dout[queries.start * width..queries.end * width];
        let to_scores = Extents { rows: queries.len(), inner: head_dim, cols: lanes };
        let to_queries = Extents { rows: queries.len(), inner: task.keys(), cols: width };
        let to_keys = Extents { rows: task.keys(), inner: queries.len(), cols: width };
        let kt = Right { values: rows.kt, stride: lanes };
        product(p, lanes, Start::Of(offsets), Left::rows(q, width), kt, to_scores);
        self.probabilities(rectangle, queries, p);
        // forward: out = p v
        let vt = Right { values: rows.vt, stride: lanes };
        product(ds, lanes, Start::Zero, Left::rows(dout, width), vt, to_scores);
        let right = Right { values: dout, stride: width };
        product(rows.dv, width, Start::Out, Left::transposed(p, lanes), right, to_keys);
        // forward: p = softmax(s)
        differentiate(p, ds, doffsets, lanes);
        // forward: s = scale q k^T + offsets
        let right = Right { values: q, stride: width };
        product(rows.dk, width, Start::Out, Left::transposed(ds, lanes), right, to_keys);
        let k = Right { values: rows.k, stride: width };
        product(q, width, Start::Zero, Left::rows(ds, lanes), k, to_queries);
    }

    /// `p = exp(s - lse)` of a block of queries. Between rows the next rectangle is asked for.
    fn probabilities(&self, rectangle: Rectangle, queries: Range<usize>, p: &mut [S]) {
        let Rectangle { task, place, next } = rectangle;
        vectorised(
            #[inline(always)]
            || {
                for (query, p) in queries.zip(p.chunks_exact_mut(task.key_lanes())) {
                    if let Some(next) = next {
                        self.prefetch(task, next, query);
                    }
                    let lse = self.lse[self.source.statistic(task, place, query)];
                    for s in p.iter_mut() {
                        *s = (*s - lse).exp();
                    }
                }
            },
        );
    }

    #[inline(always)]
    fn prefetch(&self, task: &Task, place: Place, query: usize) {
        self.source.prefetch(task, place, query);
        let (row, col) = (query / task.real().1, query % task.real().1);
        let start = self.source.position(task, place, row, col, 1);
        prefetch(self.dout, start, self.source.problem.head_dim);
    }

    fn pack_dout(&self, task: &Task, place: Place, packed: &mut [S]) {
        let (head_dim, cols) = (self.source.problem.head_dim, task.real().1);
        let rows = packed.chunks_exact_mut(self.source.problem.head_lanes());
        vectorised(
            #[inline(always)]
            || {
                for (query, packed) in rows.enumerate() {
                    let start = self.source.position(task, place, query / cols, query % cols, 1);
                    fill_row(packed, &self.dout[start..start + head_dim], S::ONE);
                }
            },
        );
    }

    /// Writes rows, times `scale`, to a third of `dqkv`; those of padded positions are added to
    /// `padding`.
    fn put(&self, task: &Task, place: Place, part: Part, scale: S, rows: &[S], padding: &mut [S]) {
        let problem = self.source.problem;
        let (real, cols) = match part {
            Part::Query => (task.real(), task.real().1),
            _ => (task.real(), task.extents().1),
        };
        let rows = rows.chunks_exact(problem.head_lanes());
        vectorised(
            #[inline(always)]
            || {
                for (i, values) in rows.enumerate() {
                    let (row, col) = (i / cols, i % cols);
                    if row >= real.0 || col >= real.1 {
                        for (sum, &x) in padding.iter_mut().zip(values) {
                            *sum += x;
                        }
                        continue;
                    }
                    let Some((dqkv, write)) = &self.dqkv else { continue };
                    let start = self.source.position(task, place, row, col, 3)
                        + part as usize * problem.channels();
                    // SAFETY: every position of a head is in one rectangle.
                    let slots = unsafe { dqkv.part(start..start + problem.head_dim) };
                    match write {
                        Write::Set => fill_row(slots, &values[..problem.head_dim], scale),
                        Write::Add => write.put_all(slots, values.iter().map(|&x| scale * x)),
                    }
                }
            },
        );
    }
}

/// Replaces `dp` by `ds = p (dp - sum(p dp))` and adds it to the gradient of the pairs.
fn differentiate<S: Scalar>(p: &[S], dp: &mut [S], pairs: &mut [S], lanes: usize) {
    vectorised(
        #[inline(always)]
        || {
            let rows = dp.chunks_exact_mut(lanes).zip(pairs.chunks_exact_mut(lanes));
            for (p, (ds, pairs)) in p.chunks_exact(lanes).zip(rows) {
                softmax_backward(p, ds);
                for (sum, ds) in pairs.iter_mut().zip(ds) {
                    *sum += *ds;
                }
            }
        },
    );
}

/// Sums the gradients of every pair by displacement: what `spread_table` inverts.
fn gather_table<S: Scalar>(problem: &Problem, task: &Task, pairs: &[S], dtable: &mut [S]) {
    let (window, side) = (problem.window, 2 * problem.window - 1);
    let (rows, cols) = task.extents();
    for (query, pairs) in pairs.chunks_exact(task.key_lanes()).enumerate() {
        let (y, x) = (query / task.real().1, query % task.real().1);
        for (row, pairs) in pairs.chunks_exact(cols).take(rows).enumerate() {
            let start = (y + window - 1 - row) * side + window - 1 - x;
            let sums = &mut dtable[start..start + cols];
            for (sum, &x) in sums.iter_mut().zip(pairs) {
                *sum += x;
            }
        }
    }
}

/// Adds up the tasks' partial sums, each head's in the order of its tasks.
fn sum_partials<S: Scalar>(
    problem: &Problem,
    partials: &mut [S],
    dbias: Option<Gradient<S>>,
    dtable: Option<Gradient<S>>,
) {
    let (partial_len, displacements) = (problem.partial_len(), problem.displacements());
    let Problem { heads, head_dim, window, .. } = *problem;
    let (side, width) = (2 * window - 1, problem.head_lanes());
    let dbias = dbias.map(|g| (Parts::new(g.values), g.write));
    let dtable = dtable.map(|g| (Parts::new(g.values), g.write));
    let partials = Parts::new(partials);
    rows::for_tasks(heads, |head| {
        let mut tasks = problem.tasks_of(head);
        let Some(first) = tasks.next() else { return };
        // SAFETY: every task belongs to one head.
        let total = unsafe { partials.row(first, partial_len) };
        for task in tasks {
            // SAFETY: as above.
            let partial = unsafe { partials.row(task, partial_len) };
            for (total, &mut x) in total.iter_mut().zip(partial) {
                *total += x;
            }
        }
        if let Some((dtable, write)) = &dtable {
            for i in 0..displacements {
                let reversed = i / side * side + side - 1 - i % side;
                // SAFETY: every head has a column of its own.
                write.put(unsafe { &mut dtable.row(i * heads + head, 1)[0] }, total[reversed]);
            }
        }
        if let Some((dbias, write)) = &dbias {
            let padding = &total[displacements..];
            for (part, sums) in
                [None, Some(&padding[..width]), Some(&padding[width..])].iter().enumerate()
            {
                // SAFETY: every head has columns of its own.
                let slots = unsafe { dbias.row(part * heads + head, head_dim) };
                match sums {
                    Some(sums) => write.put_all(slots, sums.iter().copied()),
                    None => write.begin(slots),
                }
            }
        }
    });
}
