//! Window attention on the CPU, backward: probabilities again from the kept `lse`, five products a
//! rectangle, and the table's and padding's gradients as one partial sum a task.

use super::WindowAttention;
use super::cpu::{BLOCK, Part, Source};
use super::problem::{Place, Problem, Task};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::vectorised;
use crate::cpu::softmax::softmax_backward;
use crate::cpu::tile::{Extents, Left, Right, Start, pieces, product, transpose};
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

impl<S: Scalar> Pass<'_, S> {
    /// All rectangles of a task; `partial` becomes the sums of the table's gradient, with its
    /// columns from the last to the first, and of the padding's `dk` and `dv`.
    fn task(&self, task: &Task, partial: &mut [S]) {
        let problem = self.source.problem;
        let (queries, keys, lanes) = (task.queries(), task.keys(), task.key_lanes());
        let width = problem.head_lanes();
        let pairs = queries * lanes;
        let (of_queries, of_keys) = (queries * width, keys * width);
        let transposed = problem.head_dim * lanes;
        let mut sizes = [0; 11];
        sizes[..2].copy_from_slice(&[pairs, pairs]);
        sizes[2..4].copy_from_slice(&[of_queries, of_queries]);
        sizes[4..7].copy_from_slice(&[lanes * width, of_keys, of_keys]);
        sizes[7..9].copy_from_slice(&[transposed, transposed]);
        sizes[9..].copy_from_slice(&[(BLOCK * lanes).max(problem.displacements()), BLOCK * lanes]);
        partial.fill(S::ZERO);
        let (dtable, padding) = partial.split_at_mut(problem.displacements());
        with_scratch(sizes.iter().sum(), |scratch: &mut [S]| {
            let [offsets, doffsets, q, dout, k, dk, dv, kt, vt, p, ds] = pieces(scratch, sizes);
            self.source.spread_table(task, offsets, p);
            doffsets.fill(S::ZERO);
            for place in task.places(problem.window) {
                self.source.pack(task, place, Part::Query, self.source.scale(), q);
                self.source.pack(task, place, Part::Value, S::ONE, k);
                transpose(k, width, vt, lanes);
                self.source.pack(task, place, Part::Key, S::ONE, k);
                transpose(k, width, kt, lanes);
                self.pack_dout(task, place, dout);
                dk.fill(S::ZERO);
                dv.fill(S::ZERO);
                for first in (0..queries).step_by(BLOCK) {
                    let count = BLOCK.min(queries - first);
                    let rows = first * width..(first + count) * width;
                    let block = Block { task, place, first, count, lanes, width };
                    let offsets = &offsets[first * lanes..];
                    self.probabilities(&block, &q[rows.clone()], kt, offsets, p);
                    block.scores_gradient(p, &dout[rows.clone()], vt, ds);
                    // forward: out = p v
                    block.keys_gradient(p, &dout[rows.clone()], dv);
                    // forward: s = scale q k^T + offsets
                    block.keys_gradient(ds, &q[rows.clone()], dk);
                    let doffsets = doffsets[first * lanes..].iter_mut();
                    vectorised(
                        #[inline(always)]
                        || doffsets.zip(&*ds).take(count * lanes).for_each(|(d, &x)| *d += x),
                    );
                    let extents = Extents { rows: count, inner: keys, cols: width };
                    let left = Left::rows(ds, lanes);
                    let right = Right { values: k, stride: width };
                    product(&mut q[rows], width, Start::Zero, left, right, extents);
                }
                self.put(task, place, Part::Query, self.source.scale(), q, &mut []);
                let (dk_padding, dv_padding) = padding.split_at_mut(width);
                self.put(task, place, Part::Key, S::ONE, dk, dk_padding);
                self.put(task, place, Part::Value, S::ONE, dv, dv_padding);
            }
            gather_table(problem, task, doffsets, dtable);
        });
    }

    /// `p = exp(s - lse)` of a block of queries.
    fn probabilities(&self, block: &Block, q: &[S], kt: &[S], offsets: &[S], p: &mut [S]) {
        let Block { count, lanes, width, .. } = *block;
        let inner = self.source.problem.head_dim;
        let extents = Extents { rows: count, inner, cols: lanes };
        let left = Left::rows(q, width);
        product(p, lanes, Start::Of(offsets), left, Right { values: kt, stride: lanes }, extents);
        vectorised(
            #[inline(always)]
            || {
                for (i, p) in p.chunks_exact_mut(lanes).take(count).enumerate() {
                    let lse =
                        self.lse[self.source.statistic(block.task, block.place, block.first + i)];
                    for s in p.iter_mut() {
                        *s = (*s - lse).exp();
                    }
                }
            },
        );
    }

    fn pack_dout(&self, task: &Task, place: Place, packed: &mut [S]) {
        let (head_dim, cols) = (self.source.problem.head_dim, task.real().1);
        let rows = packed.chunks_exact_mut(self.source.problem.head_lanes());
        for (query, packed) in rows.enumerate() {
            let start = self.source.position(task, place, query / cols, query % cols, 1);
            packed[..head_dim].copy_from_slice(&self.dout[start..start + head_dim]);
            packed[head_dim..].fill(S::ZERO);
        }
    }

    /// Writes rows, times `scale`, to a third of `dqkv`; those of padded positions are added to
    /// `padding`.
    fn put(&self, task: &Task, place: Place, part: Part, scale: S, rows: &[S], padding: &mut [S]) {
        let problem = self.source.problem;
        let (real, cols) = match part {
            Part::Query => (task.real(), task.real().1),
            _ => (task.real(), task.extents().1),
        };
        for (i, values) in rows.chunks_exact(problem.head_lanes()).enumerate() {
            let (row, col) = (i / cols, i % cols);
            if row >= real.0 || col >= real.1 {
                for (sum, &x) in padding.iter_mut().zip(values) {
                    *sum += x;
                }
            } else if let Some((dqkv, write)) = &self.dqkv {
                let start = self.source.position(task, place, row, col, 3)
                    + part as usize * problem.channels();
                // SAFETY: every position of a head is in one rectangle.
                let slots = unsafe { dqkv.part(start..start + problem.head_dim) };
                write.put_all(slots, values.iter().map(|&x| scale * x));
            }
        }
    }
}

/// A block of queries of a rectangle.
struct Block<'a> {
    task: &'a Task,
    place: Place,
    first: usize,
    count: usize,
    lanes: usize,
    width: usize,
}

impl Block<'_> {
    /// `ds = p (dp - sum(p dp))` with `dp = dout v^T`.
    fn scores_gradient<S: Scalar>(&self, p: &[S], dout: &[S], vt: &[S], ds: &mut [S]) {
        let &Self { count, lanes, width, .. } = self;
        let extents = Extents { rows: count, inner: vt.len() / lanes, cols: lanes };
        let left = Left::rows(dout, width);
        product(ds, lanes, Start::Zero, left, Right { values: vt, stride: lanes }, extents);
        vectorised(
            #[inline(always)]
            || {
                let rows = p.chunks_exact(lanes).zip(ds.chunks_exact_mut(lanes)).take(count);
                for (p, ds) in rows {
                    softmax_backward(p, ds);
                }
            },
        );
    }

    /// Adds `weights^T rows` to a gradient of the keys.
    fn keys_gradient<S: Scalar>(&self, weights: &[S], rows: &[S], gradient: &mut [S]) {
        let &Self { task, count, lanes, width, .. } = self;
        let extents = Extents { rows: task.keys(), inner: count, cols: width };
        let left = Left::transposed(weights, lanes);
        let right = Right { values: rows, stride: width };
        product(gradient, width, Start::Out, left, right, extents);
    }
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
