//! Some columns of every row of a matrix, copied from or to a narrower matrix on all threads.

use std::ops::Range;

use super::rows::{self, Parts};
use crate::scalar::Scalar;
use crate::write::Write;

/// Elements of the longest piece of a row that one thread takes at a time.
const PIECE: usize = 16 * 1024;

/// Calls `body(row, columns)` with pieces that cover `0..len` of each row, on all threads.
pub fn for_pieces(rows: usize, len: usize, body: impl Fn(usize, Range<usize>) + Sync) {
    let pieces = len.div_ceil(PIECE);
    rows::for_chunks(
        rows * pieces,
        rows::chunk_rows(len.min(PIECE)),
        #[inline(always)]
        |range| {
            for i in range {
                let start = i % pieces * PIECE;
                body(i / pieces, start..(start + PIECE).min(len));
            }
        },
    );
}

/// Rows of a matrix, of which the columns from `start` on are meant.
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub row_len: usize,
    pub start: usize,
}

/// Writes `len` columns of every row of `values` into the columns `to` of `slots`, row by row.
pub fn copy<S: Scalar>(
    (slots, to): (&mut [S], Columns),
    write: Write,
    (values, from): (&[S], Columns),
    len: usize,
) {
    assert!(to.start + len <= to.row_len && from.start + len <= from.row_len, "columns of a row");
    let rows = slots.len() / to.row_len.max(1);
    let slots = Parts::new(slots);
    for_pieces(
        rows,
        len,
        #[inline(always)]
        |row, piece| {
            let values = &values[row * from.row_len + from.start..][piece.clone()];
            let at = row * to.row_len + to.start;
            // SAFETY: pieces of one row do not overlap, neither do rows.
            let slots = unsafe { slots.part(at + piece.start..at + piece.end) };
            write.put_all(slots, values.iter().copied());
        },
    );
}
