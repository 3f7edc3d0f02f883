//! Sizes of an attention, and the columns of its heads.

use std::ops::Range;

use crate::cpu::rows::Parts;
use crate::cpu::simd::vectorised;
use crate::cpu::tile::{LANES, fill_row};
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::write::Write;

/// Elements of a tile's queries and scores together: a quarter of a second-level cache.
const TILE_ELEMENTS: usize = 48 * 1024;
/// As many tasks as there should be at least: enough for the threads of a small machine.
const TASKS: usize = 16;
/// Rows of a tile are multiples of what the products do at once.
const ROWS: usize = 12;

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

    /// Channels of a head, filled up to whole vectors.
    pub fn width(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Keys, filled up to whole vectors.
    pub fn key_lanes(&self) -> usize {
        self.keys.next_multiple_of(LANES)
    }

    /// Queries whose scores are held at once.
    pub fn tile(&self) -> usize {
        let fitting = TILE_ELEMENTS / (self.key_lanes() + self.width());
        let shared = (self.batch * self.heads * self.queries).div_ceil(TASKS);
        fitting.min(shared).clamp(1, 20 * ROWS).next_multiple_of(ROWS)
    }

    /// The rows of an image's queries in a tile.
    pub fn tile_rows(&self, tile: usize) -> Range<usize> {
        tile * self.tile()..((tile + 1) * self.tile()).min(self.queries)
    }

    pub fn tiles(&self) -> usize {
        self.queries.div_ceil(self.tile())
    }

    /// Runs of tiles whose sums are kept apart, so that one head is work for several threads.
    pub fn segments(&self) -> usize {
        TASKS.div_ceil(self.batch * self.heads).min(self.tiles())
    }
}

/// Rows of `row_len` elements of which the heads take the columns from `first` on.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a, S> {
    pub values: &'a [S],
    pub row_len: usize,
    pub first: usize,
}

impl<S: Scalar> Columns<'_, S> {
    /// Packs one head's part of `rows`, times `scale`, into rows of [`Sizes::width`] elements,
    /// zeros into what is left of `packed`.
    pub fn pack(
        &self,
        sizes: &Sizes,
        head: usize,
        rows: Range<usize>,
        scale: f64,
        packed: &mut [S],
    ) {
        let (head_dim, scale) = (sizes.head_dim, S::from_f64(scale));
        let (packed, rest) = packed.split_at_mut(rows.len() * sizes.width());
        rest.fill(S::ZERO);
        vectorised(
            #[inline(always)]
            || {
                for (packed, row) in packed.chunks_exact_mut(sizes.width()).zip(rows) {
                    let start = row * self.row_len + self.first + head * head_dim;
                    fill_row(packed, &self.values[start..start + head_dim], scale);
                }
            },
        );
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
    /// Writes rows of one head, each times its factor, beginning at row `first_row`.
    ///
    /// # Safety
    /// No other thread writes these rows of this head.
    pub unsafe fn put(
        &self,
        sizes: &Sizes,
        head: usize,
        first_row: usize,
        rows: &[S],
        factors: impl Iterator<Item = S>,
    ) {
        let rows = rows.chunks_exact(sizes.width()).zip(factors);
        vectorised(
            #[inline(always)]
            || {
                for (row, (values, factor)) in (first_row..).zip(rows) {
                    let start = row * self.row_len + self.first + head * sizes.head_dim;
                    // SAFETY: the caller's promise.
                    let part = unsafe { self.values.part(start..start + sizes.head_dim) };
                    self.write.put_all(part, values.iter().map(|&x| factor * x));
                }
            },
        );
    }
}
