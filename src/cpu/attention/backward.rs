//! Attention, backward: probabilities again from the kept `lse`.

use std::ops::Range;

use super::forward::{all, fill_masks, pack_transposed};
use super::heads::{Columns, ColumnsMut, Sizes};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::vectorised;
use crate::cpu::softmax::{probabilities, softmax_backward};
use crate::cpu::tile::{Extents, Left, Right, Start, pieces, product};
use crate::scalar::Scalar;

/// Elements of a head's packed `k^T`, `v^T` and `k`.
fn packed_len(sizes: &Sizes) -> usize {
    2 * sizes.head_dim * sizes.key_lanes() + sizes.keys * sizes.width()
}

/// Elements of the sums that become `dk` and `dv` of a head.
fn partial_len(sizes: &Sizes) -> usize {
    2 * sizes.keys * sizes.width()
}

fn workspace_pieces(sizes: &Sizes) -> [usize; 3] {
    let heads = sizes.batch * sizes.heads;
    let partials = heads * sizes.segments() * partial_len(sizes);
    [sizes.batch * sizes.key_lanes(), heads * packed_len(sizes), partials]
}

/// Elements of workspace that [`backward`] needs.
pub fn backward_workspace(sizes: &Sizes) -> usize {
    workspace_pieces(sizes).iter().sum()
}

/// What attention's backward pass reads, besides its sizes.
pub struct Saved<'a, S> {
    pub q: Columns<'a, S>,
    pub k: Columns<'a, S>,
    pub v: Columns<'a, S>,
    pub mask: Option<&'a [i32]>,
    /// `[batch, heads, queries]`
    pub lse: &'a [S],
    /// `[batch, queries, heads head_dim]`
    pub dout: &'a [S],
}

/// Gradients of the queries, keys and values from that of the output:
/// `dv = p^T dout`, `dp = dout v^T`, `ds = p (dp - sum(p dp))`, `dq = scale ds k`,
/// `dk = scale ds^T q`.
pub fn backward<S: Scalar>(
    sizes: &Sizes,
    saved: &Saved<S>,
    dq: Option<ColumnsMut<S>>,
    dk: Option<ColumnsMut<S>>,
    dv: Option<ColumnsMut<S>>,
    workspace: &mut [S],
) {
    let heads = sizes.batch * sizes.heads;
    let [masks, packed, partials] = pieces(workspace, workspace_pieces(sizes));
    fill_masks(sizes, saved.mask, masks);
    let parts = Parts::new(packed);
    rows::for_tasks(heads, |number| {
        // SAFETY: every head has a part of its own.
        let packed = unsafe { parts.row(number, packed_len(sizes)) };
        pack(sizes, saved, number, packed);
    });
    let (masks, packed, segments) = (&*masks, &*packed, sizes.segments());
    let partial_len = partial_len(sizes);
    let partials = Parts::new(partials);
    rows::for_tasks(heads * segments, |task| {
        let (number, segment) = (task / segments, task % segments);
        let packed = &packed[number * packed_len(sizes)..][..packed_len(sizes)];
        let mask = &masks[number / sizes.heads * sizes.key_lanes()..];
        // SAFETY: every task has partial sums of its own.
        let partial = unsafe { partials.row(task, partial_len) };
        partial.fill(S::ZERO);
        let head = Head { sizes, saved, number, mask, packed };
        let tiles = sizes.tiles();
        for tile in segment * tiles / segments..(segment + 1) * tiles / segments {
            head.tile(sizes.tile_rows(tile), dq.as_ref(), partial);
        }
    });
    rows::for_tasks(heads, |number| {
        // SAFETY: the sums of a head's segments, one after the other, are this task's from here on.
        let sums = unsafe { partials.row(number, segments * partial_len) };
        let (total, rest) = sums.split_at_mut(partial_len);
        for partial in rest.chunks_exact(partial_len) {
            total.iter_mut().zip(partial).for_each(|(total, &x)| *total += x);
        }
        let (dk_sums, dv_sums) = total.split_at(partial_len / 2);
        for (gradient, sums) in [(&dk, dk_sums), (&dv, dv_sums)] {
            if let Some(gradient) = gradient {
                let first_row = number / sizes.heads * sizes.keys;
                // SAFETY: each task has a head of its own.
                let factors = all(1.0, sizes.keys);
                unsafe { gradient.put(sizes, number % sizes.heads, first_row, sums, factors) };
            }
        }
    });
}

fn pack<S: Scalar>(sizes: &Sizes, saved: &Saved<S>, number: usize, packed: &mut [S]) {
    let (image, head) = (number / sizes.heads, number % sizes.heads);
    let transposed = sizes.head_dim * sizes.key_lanes();
    let [kt, vt, k] = pieces(packed, [transposed, transposed, sizes.keys * sizes.width()]);
    pack_transposed(sizes, saved.k, number, kt);
    pack_transposed(sizes, saved.v, number, vt);
    saved.k.pack(sizes, head, image * sizes.keys..(image + 1) * sizes.keys, 1.0, k);
}

/// One head of one image; `number` counts images and heads.
struct Head<'a, S> {
    sizes: &'a Sizes,
    saved: &'a Saved<'a, S>,
    number: usize,
    mask: &'a [S],
    packed: &'a [S],
}

impl<S: Scalar> Head<'_, S> {
    /// Writes a tile's `dq` and adds to the sums of `dk` and `dv`.
    fn tile(&self, tile: Range<usize>, dq: Option<&ColumnsMut<S>>, partial: &mut [S]) {
        let &Sizes { heads, head_dim, queries, keys, scale, .. } = self.sizes;
        let (lanes, width, count) = (self.sizes.key_lanes(), self.sizes.width(), tile.len());
        let (kt, rest) = self.packed.split_at(head_dim * lanes);
        let (vt, k) = rest.split_at(head_dim * lanes);
        let (dk, dv) = partial.split_at_mut(keys * width);
        let (head, first_row) = (self.number % heads, self.number / heads * queries + tile.start);
        let rows = first_row..first_row + count;
        let dout = Columns { values: self.saved.dout, row_len: heads * head_dim, first: 0 };
        let lse = &self.saved.lse[self.number * queries + tile.start..][..count];
        with_scratch(2 * count * (lanes + width), |scratch: &mut [S]| {
            let [scores, of_rows] = [count * lanes, count * width];
            let [p, ds, q, d] = pieces(scratch, [scores, scores, of_rows, of_rows]);
            self.saved.q.pack(self.sizes, head, rows.clone(), scale, q);
            dout.pack(self.sizes, head, rows, 1.0, d);
            let to_scores = Extents { rows: count, inner: head_dim, cols: lanes };
            let to_keys = Extents { rows: keys, inner: count, cols: width };
            let (kt, vt) =
                (Right { values: kt, stride: lanes }, Right { values: vt, stride: lanes });
            product(p, lanes, Start::Row(self.mask), Left::rows(q, width), kt, to_scores);
            probabilities(p, lanes, lse);
            // forward: out = p v
            let right = Right { values: d, stride: width };
            product(dv, width, Start::Out, Left::transposed(p, lanes), right, to_keys);
            product(ds, lanes, Start::Zero, Left::rows(d, width), vt, to_scores);
            // forward: p = softmax(s)
            vectorised(
                #[inline(always)]
                || {
                    let rows = p.chunks_exact(lanes).zip(ds.chunks_exact_mut(lanes));
                    rows.for_each(|(p, ds)| softmax_backward(p, ds));
                },
            );
            // forward: s = scale q k^T
            let right = Right { values: q, stride: width };
            product(dk, width, Start::Out, Left::transposed(ds, lanes), right, to_keys);
            if let Some(dq) = dq {
                let to_queries = Extents { rows: count, inner: keys, cols: width };
                let right = Right { values: k, stride: width };
                product(q, width, Start::Zero, Left::rows(ds, lanes), right, to_queries);
                // SAFETY: each task has a head's segment of its own.
                unsafe { dq.put(self.sizes, head, first_row, q, all(scale, count)) };
            }
        });
    }
}
