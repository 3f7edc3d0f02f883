//! Attention, forward.

use std::iter::repeat_n;

use super::heads::{Columns, ColumnsMut, Sizes};
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::vectorised;
use crate::cpu::softmax::exponentials;
use crate::cpu::tile::{Extents, Left, Right, Start, pieces, product, transpose};
use crate::scalar::Scalar;
use crate::write::Write;

/// Elements of a head's packed `k^T` and `v`.
fn packed_len(sizes: &Sizes) -> usize {
    sizes.head_dim * sizes.key_lanes() + sizes.keys * sizes.width()
}

/// Elements of workspace that [`forward`] needs.
pub fn forward_workspace(sizes: &Sizes) -> usize {
    sizes.batch * (sizes.key_lanes() + sizes.heads * packed_len(sizes))
}

/// `out = softmax(scale q k^T) v` for every head, keys with a `mask` of 0 left out.
///
/// `q`: `[batch queries]` rows; `k`, `v`: `[batch keys]` rows; `mask`: `[batch, keys]`;
/// `out`: `[batch, queries, heads head_dim]`; `lse`: `[batch, heads, queries]` if wanted.
#[allow(clippy::too_many_arguments)]
pub fn forward<S: Scalar>(
    sizes: &Sizes,
    q: Columns<S>,
    k: Columns<S>,
    v: Columns<S>,
    mask: Option<&[i32]>,
    out: &mut [S],
    lse: Option<&mut [S]>,
    workspace: &mut [S],
) {
    let &Sizes { batch, heads, head_dim, queries, keys, .. } = sizes;
    let (lanes, width, tiles) = (sizes.key_lanes(), sizes.width(), sizes.tiles());
    let [masks, packed] = pieces(workspace, [batch * lanes, batch * heads * packed_len(sizes)]);
    fill_masks(sizes, mask, masks);
    let parts = Parts::new(packed);
    rows::for_tasks(batch * heads, |number| {
        let (image, head) = (number / heads, number % heads);
        // SAFETY: every head has a part of its own.
        let packed = unsafe { parts.row(number, packed_len(sizes)) };
        let (kt, values) = packed.split_at_mut(head_dim * lanes);
        let key_rows = image * keys..(image + 1) * keys;
        pack_transposed(sizes, k, number, kt);
        v.pack(sizes, head, key_rows, 1.0, values);
    });
    let (masks, packed) = (&*masks, &*packed);
    let lse = lse.map(Parts::new);
    let out = Parts::new(out);
    let out = ColumnsMut { values: &out, row_len: heads * head_dim, first: 0, write: Write::Set };
    rows::for_tasks(batch * heads * tiles, |task| {
        let (number, tile) = (task / tiles, sizes.tile_rows(task % tiles));
        let (image, head, count) = (number / heads, number % heads, tile.len());
        let (kt, values) = packed[number * packed_len(sizes)..].split_at(head_dim * lanes);
        with_scratch(count * (lanes + width + 1), |scratch: &mut [S]| {
            let [scores, rows, factors] = pieces(scratch, [count * lanes, count * width, count]);
            let first_row = image * queries + tile.start;
            q.pack(sizes, head, first_row..first_row + count, sizes.scale, rows);
            let extents = Extents { rows: count, inner: head_dim, cols: lanes };
            let left = Left::rows(rows, width);
            let start = Start::Row(&masks[image * lanes..]);
            product(scores, lanes, start, left, Right { values: kt, stride: lanes }, extents);
            // SAFETY: every task has a head's tile of its own.
            let lse = lse.as_ref().map(|lse| unsafe {
                lse.part(number * queries + tile.start..number * queries + tile.end)
            });
            exponentials_of_rows(scores, lanes, factors, lse);
            let extents = Extents { rows: count, inner: keys, cols: width };
            let left = Left::rows(scores, lanes);
            let right = Right { values, stride: width };
            product(rows, width, Start::Zero, left, right, extents);
            // SAFETY: as above.
            unsafe { out.put(sizes, head, first_row, rows, factors.iter().copied()) };
        });
    });
}

/// What each score begins with: 0, or minus infinity at keys that are masked or do not exist.
pub fn fill_masks<S: Scalar>(sizes: &Sizes, mask: Option<&[i32]>, masks: &mut [S]) {
    for (image, masks) in masks.chunks_exact_mut(sizes.key_lanes()).enumerate() {
        masks[sizes.keys..].fill(S::NEG_INFINITY);
        let masks = &mut masks[..sizes.keys];
        match mask {
            None => masks.fill(S::ZERO),
            Some(mask) => {
                masks.iter_mut().zip(&mask[image * sizes.keys..]).for_each(|(m, &real)| {
                    *m = if real == 0 { S::NEG_INFINITY } else { S::ZERO };
                })
            }
        }
    }
}

/// Packs a head's keys (or values), one row for each channel; `number` counts images and heads.
pub fn pack_transposed<S: Scalar>(sizes: &Sizes, k: Columns<S>, number: usize, kt: &mut [S]) {
    let (image, head) = (number / sizes.heads, number % sizes.heads);
    let (lanes, width) = (sizes.key_lanes(), sizes.width());
    with_scratch(lanes * width, |rows: &mut [S]| {
        k.pack(sizes, head, image * sizes.keys..(image + 1) * sizes.keys, 1.0, rows);
        transpose(rows, width, kt, lanes);
    });
}

/// Exponentials of every row of scores, the factors that make probabilities of them, and `lse`.
fn exponentials_of_rows<S: Scalar>(
    scores: &mut [S],
    lanes: usize,
    factors: &mut [S],
    lse: Option<&mut [S]>,
) {
    let rows = scores.chunks_exact_mut(lanes).zip(factors);
    vectorised(
        #[inline(always)]
        || {
            let mut lse = lse.into_iter().flatten();
            for (scores, factor) in rows {
                let (scale, logarithm) = exponentials(scores);
                *factor = scale;
                if let Some(lse) = lse.next() {
                    *lse = logarithm;
                }
            }
        },
    );
}

/// The same factor for every row.
pub fn all<S: Scalar>(factor: f64, rows: usize) -> impl Iterator<Item = S> {
    repeat_n(S::from_f64(factor), rows)
}
