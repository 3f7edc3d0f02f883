//! Work over the rows of a matrix on all threads, in chunks whose bounds never depend on how many
//! threads there are: the same sums in the same order, so the same bits.
//!
//! Bodies run inside [`vectorised`]: one that computes is marked `#[inline(always)]`, as said there.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::simd::vectorised;
use crate::scalar::Scalar;
use crate::write::Write;

/// Elements a chunk should hold: large enough to outweigh handing it to a thread, small enough
/// to stay in the second-level cache.
const CHUNK_ELEMENTS: usize = 16 * 1024;

/// Rows of `row_len` elements a chunk holds.
pub fn chunk_rows(row_len: usize) -> usize {
    (CHUNK_ELEMENTS / row_len.max(1)).max(1)
}

/// Calls `body` with every chunk of `0..rows`, on all threads.
pub fn for_chunks(rows: usize, chunk: usize, body: impl Fn(Range<usize>) + Sync) {
    let chunks = rows.div_ceil(chunk.max(1));
    let run = |i: usize| {
        vectorised(
            #[inline(always)]
            || body(i * chunk..((i + 1) * chunk).min(rows)),
        )
    };
    if chunks <= 1 {
        (0..chunks).for_each(run);
    } else {
        (0..chunks).into_par_iter().for_each(run);
    }
}

/// Calls `body(task)` for every task on all threads. Tasks must be worth a thread's attention.
pub fn for_tasks(tasks: usize, body: impl Fn(usize) + Sync) {
    for_chunks(
        tasks,
        1,
        #[inline(always)]
        |range| body(range.start),
    );
}

/// Calls `body(range, part)` with chunks of a slice, on all threads.
pub fn for_parts<S: Scalar>(slots: &mut [S], body: impl Fn(Range<usize>, &mut [S]) + Sync) {
    let len = slots.len();
    let parts = Parts::new(slots);
    // SAFETY: chunks do not overlap.
    for_chunks(
        len,
        CHUNK_ELEMENTS,
        #[inline(always)]
        |range| body(range.clone(), unsafe { parts.part(range) }),
    );
}

/// Calls `body(row, part)` with every row of `row_len` elements of a slice, on all threads.
pub fn for_rows<S: Scalar>(slots: &mut [S], row_len: usize, body: impl Fn(usize, &mut [S]) + Sync) {
    let rows = slots.len() / row_len.max(1);
    let parts = Parts::new(slots);
    for_chunks(
        rows,
        chunk_rows(row_len),
        #[inline(always)]
        |range| {
            for row in range {
                // SAFETY: every row belongs to one chunk.
                body(row, unsafe { parts.row(row, row_len) });
            }
        },
    );
}

/// `slots = values` or `slots += values`, on all threads.
pub fn write_all<S: Scalar>(slots: &mut [S], write: Write, values: &[S]) {
    for_parts(
        slots,
        #[inline(always)]
        |range, slots| write.put_all(slots, values[range].iter().copied()),
    );
}

/// A mutable slice that several threads write disjoint parts of.
///
/// `rayon`'s own splitting covers rows of one slice; the operations here write rows of several
/// slices at once, columns of heads, or windows of a map.
pub struct Parts<'a, T> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Parts` only hands out parts, and its callers promise that they do not overlap.
unsafe impl<T: Send> Send for Parts<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The part `range`.
    ///
    /// # Safety
    /// No two parts that are alive at the same time overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "a part out of bounds");
        // SAFETY: in bounds by the assertion, exclusive by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// Row `row` of rows of `row_len` elements.
    ///
    /// # Safety
    /// As for [`Parts::part`].
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn row(&self, row: usize, row_len: usize) -> &mut [T] {
        // SAFETY: the caller's promise.
        unsafe { self.part(row * row_len..(row + 1) * row_len) }
    }
}
