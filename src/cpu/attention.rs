//! Scaled dot-product attention over heads that lie side by side in rows, in tiles of queries.
//!
//! Scores of one tile and head stay in the cache: forward keeps only `lse`, the logarithm of each
//! row's sum of exponentials, and backward recomputes the probabilities from it.

use std::ops::Range;

use super::gemm::{Matrix, multiply_here};
use super::rows::{self, Parts};
use super::scratch::with_scratch;
use super::simd::vectorised;
use super::softmax::{softmax, softmax_backward};
use crate::cpu::gemm::MatrixMut;
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::write::Write;

/// Queries whose scores are held at once.
const TILE: usize = 96;
/// Queries whose contributions to the keys' and values' gradients are summed by one task.
const SEGMENT: usize = 1024;

/// Sizes of an attention: `queries` rows attend to `keys` rows, in `heads` heads of `head_dim`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub batch: usize,
    pub heads: usize,
    pub head_dim: usize,
    pub queries: usize,
    pub keys: usize,
    /// What `q . k` is multiplied by.
    pub scale: f64,
}

impl Sizes {
    /// Attention of `q` (`[B, N, C]` or a map `[B, H, W, C]`) to `keys` keys, scaled by
    /// `1 / sqrt(C / heads)`; nothing if `q` has another rank, its channels cannot be divided
    /// among the heads, or there is nothing to attend to.
    pub fn new(q: &Shape, keys: usize, heads: usize) -> Option<Self> {
        let channels = q.channels();
        let fits = matches!(q.rank(), 3 | 4) && !q.is_empty() && keys > 0;
        if !fits || heads == 0 || !channels.is_multiple_of(heads) {
            return None;
        }
        let (batch, head_dim) = (q.extents()[0], channels / heads);
        let scale = 1.0 / (head_dim as f64).sqrt();
        Some(Self { batch, heads, head_dim, queries: q.rows() / batch, keys, scale })
    }
}

/// Rows of `row_len` elements of which the heads take the columns from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a, S> {
    pub values: &'a [S],
    pub row_len: usize,
    pub first: usize,
}

impl<'a, S> Columns<'a, S> {
    fn head(&self, sizes: &Sizes, head: usize, rows: Range<usize>) -> Matrix<'a, S> {
        let start = rows.start * self.row_len + self.first + head * sizes.head_dim;
        Matrix::strided(&self.values[start..], rows.len(), sizes.head_dim, self.row_len)
    }
}

/// Where the gradients of [`Columns`] are written.
pub struct ColumnsMut<'a, S> {
    pub values: &'a Parts<'a, S>,
    pub row_len: usize,
    pub first: usize,
    pub write: Write,
}

impl<S: Scalar> ColumnsMut<'_, S> {
    /// Writes `rows` rows of one head, beginning at row `first_row`.
    ///
    /// # Safety
    /// No other thread writes these rows of this head.
    unsafe fn put_head(&self, sizes: &Sizes, head: usize, first_row: usize, rows: &[S]) {
        for (i, row) in rows.chunks_exact(sizes.head_dim).enumerate() {
            let start = (first_row + i) * self.row_len + self.first + head * sizes.head_dim;
            // SAFETY: the caller's promise.
            let part = unsafe { self.values.part(start..start + sizes.head_dim) };
            self.write.put_all(part, row.iter().copied());
        }
    }
}

/// Elements of workspace that [`forward`] needs.
pub fn forward_workspace(_sizes: &Sizes) -> usize {
    0
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
    _workspace: &mut [S],
) {
    let &Sizes { batch, heads, head_dim, queries, keys, .. } = sizes;
    let tiles = queries.div_ceil(TILE);
    let lse = lse.map(Parts::new);
    let out = Parts::new(out);
    let row_len = heads * head_dim;
    let out = ColumnsMut { values: &out, row_len, first: 0, write: Write::Set };
    rows::for_tasks(batch * heads * tiles, |task| {
        let (image, head, tile) = (task / tiles / heads, task / tiles % heads, task % tiles);
        let range = tile * TILE..((tile + 1) * TILE).min(queries);
        let query_rows = image * queries + range.start..image * queries + range.end;
        let key_rows = image * keys..(image + 1) * keys;
        with_scratch(range.len() * (keys + head_dim), |scratch: &mut [S]| {
            let (p, rows) = scratch.split_at_mut(range.len() * keys);
            score(sizes, q, k, mask, head, &query_rows, &key_rows, p);
            // SAFETY: each task has a head's tile of its own.
            let lse = lse.as_ref().map(|lse| unsafe {
                let start = (image * heads + head) * queries + range.start;
                lse.part(start..start + range.len())
            });
            vectorised(
                #[inline(always)]
                || softmax_rows(p, keys, lse),
            );
            let values = v.head(sizes, head, key_rows.clone());
            let product = MatrixMut::new(rows, range.len(), head_dim);
            multiply_here(product, Write::Set, S::ONE, Matrix::new(p, range.len(), keys), values);
            // SAFETY: as above.
            unsafe { out.put_head(sizes, head, query_rows.start, rows) };
        });
    });
}

/// Elements of workspace that [`backward`] needs.
pub fn backward_workspace(sizes: &Sizes) -> usize {
    let segments = sizes.queries.div_ceil(SEGMENT);
    sizes.batch * sizes.heads * segments * sizes.keys * 2 * sizes.head_dim
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
    let &Sizes { batch, heads, head_dim, queries, keys, .. } = sizes;
    let segments = queries.div_ceil(SEGMENT);
    let partial_len = keys * head_dim;
    let partials = Parts::new(&mut workspace[..backward_workspace(sizes)]);
    rows::for_tasks(batch * heads * segments, |task| {
        let (image, head, segment) =
            (task / segments / heads, task / segments % heads, task % segments);
        // SAFETY: every task has partial sums of its own.
        let partial = unsafe { partials.row(task, 2 * partial_len) };
        partial.fill(S::ZERO);
        let (dk, dv) = partial.split_at_mut(partial_len);
        let end = ((segment + 1) * SEGMENT).min(queries);
        for start in (segment * SEGMENT..end).step_by(TILE) {
            let tile = start..(start + TILE).min(end);
            backward_tile(sizes, saved, image, head, tile, dq.as_ref(), dk, dv);
        }
    });
    rows::for_tasks(batch * heads, |task| {
        let (image, head) = (task / heads, task % heads);
        // SAFETY: the first task of a head owns the partial sums of its segments from here on.
        let sums = unsafe { partials.row(task, segments * 2 * partial_len) };
        let (total, rest) = sums.split_at_mut(2 * partial_len);
        for partial in rest.chunks_exact(2 * partial_len) {
            total.iter_mut().zip(partial).for_each(|(total, &x)| *total += x);
        }
        for (gradient, sums) in [(&dk, &total[..partial_len]), (&dv, &total[partial_len..])] {
            if let Some(gradient) = gradient {
                // SAFETY: each task has a head of its own.
                unsafe { gradient.put_head(sizes, head, image * keys, sums) };
            }
        }
    });
}

#[allow(clippy::too_many_arguments)]
fn backward_tile<S: Scalar>(
    sizes: &Sizes,
    saved: &Saved<S>,
    image: usize,
    head: usize,
    tile: Range<usize>,
    dq: Option<&ColumnsMut<S>>,
    dk: &mut [S],
    dv: &mut [S],
) {
    let &Sizes { heads, head_dim, queries, keys, .. } = sizes;
    let count = tile.len();
    let query_rows = image * queries + tile.start..image * queries + tile.end;
    let key_rows = image * keys..(image + 1) * keys;
    let lse = &saved.lse[(image * heads + head) * queries + tile.start..][..count];
    let dout = Columns { values: saved.dout, row_len: heads * head_dim, first: 0 };
    let dout = dout.head(sizes, head, query_rows.clone());
    let scale = S::from_f64(sizes.scale);
    with_scratch(count * (2 * keys + head_dim), |scratch: &mut [S]| {
        let (p, rest) = scratch.split_at_mut(count * keys);
        let (dp, rows) = rest.split_at_mut(count * keys);
        score(sizes, saved.q, saved.k, saved.mask, head, &query_rows, &key_rows, p);
        vectorised(
            #[inline(always)]
            || probabilities(p, keys, lse),
        );
        let probability = Matrix::new(p, count, keys);
        // forward: out = p v
        multiply_here(
            MatrixMut::new(dv, keys, head_dim),
            Write::Add,
            S::ONE,
            probability.t(),
            dout,
        );
        let values = saved.v.head(sizes, head, key_rows.clone());
        multiply_here(MatrixMut::new(dp, count, keys), Write::Set, S::ONE, dout, values.t());
        // forward: p = softmax(s)
        vectorised(
            #[inline(always)]
            || {
                let rows = p.chunks_exact(keys).zip(dp.chunks_exact_mut(keys));
                rows.for_each(|(p, dp)| softmax_backward(p, dp));
            },
        );
        // forward: s = scale q k^T
        let ds = Matrix::new(dp, count, keys);
        let q = saved.q.head(sizes, head, query_rows.clone());
        multiply_here(MatrixMut::new(dk, keys, head_dim), Write::Add, scale, ds.t(), q);
        if let Some(dq) = dq {
            let k = saved.k.head(sizes, head, key_rows);
            multiply_here(MatrixMut::new(rows, count, head_dim), Write::Set, scale, ds, k);
            // SAFETY: each task has a head's segment of its own.
            unsafe { dq.put_head(sizes, head, query_rows.start, rows) };
        }
    });
}

/// `s = scale q k^T`, minus infinity at masked keys.
#[allow(clippy::too_many_arguments)]
fn score<S: Scalar>(
    sizes: &Sizes,
    q: Columns<S>,
    k: Columns<S>,
    mask: Option<&[i32]>,
    head: usize,
    query_rows: &Range<usize>,
    key_rows: &Range<usize>,
    s: &mut [S],
) {
    let q = q.head(sizes, head, query_rows.clone());
    let kt = k.head(sizes, head, key_rows.clone()).t();
    let out = MatrixMut::new(s, query_rows.len(), sizes.keys);
    multiply_here(out, Write::Set, S::from_f64(sizes.scale), q, kt);
    if let Some(mask) = mask {
        let mask = &mask[key_rows.clone()];
        for row in s.chunks_exact_mut(sizes.keys) {
            for (s, &real) in row.iter_mut().zip(mask) {
                *s = if real == 0 { S::NEG_INFINITY } else { *s };
            }
        }
    }
}

#[inline(always)]
fn softmax_rows<S: Scalar>(scores: &mut [S], keys: usize, lse: Option<&mut [S]>) {
    match lse {
        None => scores.chunks_exact_mut(keys).for_each(|row| {
            softmax(row);
        }),
        Some(lse) => {
            let rows = scores.chunks_exact_mut(keys).zip(lse);
            rows.for_each(|(row, lse)| *lse = softmax(row));
        }
    }
}

/// `p = exp(s - lse)`; a row without any key stays without.
#[inline(always)]
pub fn probabilities<S: Scalar>(scores: &mut [S], keys: usize, lse: &[S]) {
    for (row, &lse) in scores.chunks_exact_mut(keys).zip(lse) {
        if lse == S::NEG_INFINITY {
            row.fill(S::ZERO);
        } else {
            row.iter_mut().for_each(|s| *s = (*s - lse).exp());
        }
    }
}
