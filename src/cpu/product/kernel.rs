//! The kernel: a panel of the left operand times a panel of the right, sums held in registers.

use std::any::TypeId;
use std::array::from_fn;

use super::left::{ROW_STRIDE, ROWS};
use super::panels::WIDTH;
use crate::cpu::element::Element;
use crate::cpu::simd::{Level, Simd, prefetch_line};
use crate::scalar::Scalar;

/// Rows of the right panel that are asked for ahead: they come from the second-level cache, faster
/// than the cache's own foresight brings them.
const AHEAD: usize = 8;
/// Bytes of the next block's panel that are asked for with each row of this one.
const NEXT: usize = 16;

/// The sums of a left panel's rows and a right panel's columns.
#[repr(align(64))]
pub(super) struct Tile<S>(pub [[S; WIDTH]; ROWS]);

/// How the elements of a left panel lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Row by row, [`ROW_STRIDE`] apart.
    Rows,
    /// Column by column, [`ROWS`] apart.
    Columns,
}

/// Where in the next block's panel of `depth` rows the `number`th left panel begins to ask: a few
/// left panels ask for all of it.
#[inline(always)]
pub(super) fn next_share<S>(number: usize, depth: usize) -> usize {
    let shares = WIDTH * size_of::<S>() / NEXT;
    number % shares * (depth * WIDTH / shares)
}

/// `tile = left right` over `depth` inner elements, for `rows` rows and perhaps one more. Every
/// element is summed in order. Asks for a share of what lies at `next`.
///
/// # Safety
/// `left` and `right` are packed panels of `depth` elements inside, `left` with `rows` rows filled
/// up to an even number.
#[inline(always)]
pub(super) unsafe fn multiply<M: Simd, S: Scalar>(
    simd: M,
    (left, order): (*const S, Order),
    (right, next): (*const S, *const S),
    (rows, depth): (usize, usize),
    tile: &mut Tile<S>,
) {
    let out = tile.0.as_mut_ptr().cast::<S>();
    // SAFETY: the caller's promise; the types are the same.
    unsafe {
        if TypeId::of::<S>() == TypeId::of::<f32>() {
            let panels =
                Panels::<f32> { left: left.cast(), right: right.cast(), next: next.cast(), depth };
            panels.ordered(simd, order, rows, out.cast());
        } else {
            let panels =
                Panels::<f64> { left: left.cast(), right: right.cast(), next: next.cast(), depth };
            panels.ordered(simd, order, rows, out.cast());
        }
    }
}

/// The panels of one call.
#[derive(Clone, Copy)]
struct Panels<E> {
    left: *const E,
    right: *const E,
    next: *const E,
    depth: usize,
}

impl<E: Element> Panels<E> {
    /// # Safety
    /// As for [`multiply`]; `out` is a tile.
    #[inline(always)]
    unsafe fn ordered<M: Simd>(self, simd: M, order: Order, rows: usize, out: *mut E) {
        // SAFETY: the caller's promise.
        unsafe {
            match order {
                Order::Rows => self.all::<M, ROW_STRIDE, 1>(simd, rows, out),
                Order::Columns => self.all::<M, 1, ROWS>(simd, rows, out),
            }
        }
    }

    /// As many columns at a time as the registers hold sums: 6 rows by 4 vectors are 24 of 32
    /// registers, by 2 vectors 12 of 16. A row of `left` begins `ROW` elements after the one before,
    /// a column `COLUMN`.
    ///
    /// # Safety
    /// As for [`Panels::ordered`].
    #[inline(always)]
    unsafe fn all<M: Simd, const ROW: usize, const COLUMN: usize>(
        self,
        simd: M,
        rows: usize,
        out: *mut E,
    ) {
        let lanes = size_of::<E::Vector<M>>() / size_of::<E>();
        let many = M::REGISTER_COUNT >= 32;
        for col in (0..WIDTH).step_by(if many { 4 } else { 2 } * lanes) {
            // SAFETY: columns below `WIDTH`, rows below `rows` filled up.
            unsafe {
                let (part, out) = (Self { right: self.right.add(col), ..self }, out.add(col));
                match (rows, many) {
                    (0..=2, true) => part.block::<M, 2, 4, ROW, COLUMN>(simd, out),
                    (3..=4, true) => part.block::<M, 4, 4, ROW, COLUMN>(simd, out),
                    (_, true) => part.block::<M, 6, 4, ROW, COLUMN>(simd, out),
                    (0..=2, false) => part.block::<M, 2, 2, ROW, COLUMN>(simd, out),
                    (3..=4, false) => part.block::<M, 4, 2, ROW, COLUMN>(simd, out),
                    (_, false) => part.block::<M, 6, 2, ROW, COLUMN>(simd, out),
                }
            }
        }
    }

    /// `R` rows by `V` vectors.
    ///
    /// # Safety
    /// As for [`Panels::all`].
    #[inline(always)]
    #[allow(
        clippy::needless_range_loop,
        reason = "indices name the same row and vector throughout"
    )]
    unsafe fn block<
        M: Simd,
        const R: usize,
        const V: usize,
        const ROW: usize,
        const COLUMN: usize,
    >(
        self,
        simd: M,
        out: *mut E,
    ) {
        let lanes = size_of::<E::Vector<M>>() / size_of::<E>();
        let Self { mut left, mut right, mut next, depth } = self;
        // SAFETY: the caller's promise; a vector is `lanes` elements without padding.
        unsafe {
            let mut sums = [[E::splat(simd, E::ZERO); V]; R];
            for _ in 0..depth {
                for v in 0..V {
                    prefetch_line(Level::First, right.wrapping_add(AHEAD * WIDTH + v * lanes));
                }
                prefetch_line(Level::Second, next);
                next = next.wrapping_byte_add(NEXT);
                let load = |v| right.add(v * lanes).cast::<E::Vector<M>>().read_unaligned();
                let b: [E::Vector<M>; V] = from_fn(load);
                for r in 0..R {
                    let a = E::splat(simd, *left.add(r * ROW));
                    for v in 0..V {
                        sums[r][v] = E::fused(simd, a, b[v], sums[r][v]);
                    }
                }
                left = left.wrapping_add(COLUMN);
                right = right.wrapping_add(WIDTH);
            }
            for r in 0..R {
                for v in 0..V {
                    let out = out.add(r * WIDTH + v * lanes);
                    out.cast::<E::Vector<M>>().write_unaligned(sums[r][v]);
                }
            }
        }
    }
}
