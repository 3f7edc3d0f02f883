//! Products of matrices small enough for the caches, blocks of the result held in registers.
//!
//! No packing, no threads: for the inside of attention, where packing would cost as much as the
//! product. Every element is summed over the inner extent in order.

use std::any::TypeId;

use super::element::Element;
use super::simd::{Simd, WithSimd, vectorised, with_simd};
use crate::scalar::Scalar;

/// Rows read or written as vectors are filled up to multiples of this many elements.
pub const LANES: usize = 16;

/// `a` of `a b`, read one element at a time: `(r, c)` is at `r * row_stride + c * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct Left<'a, S> {
    pub values: &'a [S],
    pub row_stride: usize,
    pub col_stride: usize,
}

impl<'a, S> Left<'a, S> {
    /// A matrix whose rows start `stride` elements apart.
    pub fn rows(values: &'a [S], stride: usize) -> Self {
        Self { values, row_stride: stride, col_stride: 1 }
    }

    /// The transposed of a matrix whose rows start `stride` elements apart.
    pub fn transposed(values: &'a [S], stride: usize) -> Self {
        Self { values, row_stride: 1, col_stride: stride }
    }
}

/// `b` of `a b`, read a vector at a time: rows that start `stride` elements apart.
#[derive(Clone, Copy, Debug)]
pub struct Right<'a, S> {
    pub values: &'a [S],
    pub stride: usize,
}

/// What a product is added to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start<'a, S> {
    Zero,
    /// What the result's memory holds.
    Out,
    /// A matrix with the result's extents and stride.
    Of(&'a [S]),
    /// The same row for every row.
    Row(&'a [S]),
}

/// Extents of a product: `rows x inner` times `inner x cols`, `cols` a multiple of [`LANES`].
#[derive(Clone, Copy, Debug)]
pub struct Extents {
    pub rows: usize,
    pub inner: usize,
    pub cols: usize,
}

/// `out = start + left right`; the result's rows start `stride` elements apart.
pub fn product<S: Scalar>(
    out: &mut [S],
    stride: usize,
    start: Start<S>,
    left: Left<S>,
    right: Right<S>,
    extents: Extents,
) {
    let Extents { rows, inner, cols } = extents;
    assert!(cols.is_multiple_of(LANES), "{cols} columns are not whole vectors");
    let reach = |rows: usize, stride: usize| rows.saturating_sub(1) * stride + cols;
    assert!(rows == 0 || reach(rows, stride) <= out.len(), "result out of bounds");
    assert!(inner == 0 || reach(inner, right.stride) <= right.values.len(), "right out of bounds");
    let started = match start {
        Start::Zero | Start::Out => true,
        Start::Of(start) => rows == 0 || reach(rows, stride) <= start.len(),
        Start::Row(start) => cols <= start.len(),
    };
    assert!(started, "start out of bounds");
    let last = rows.saturating_sub(1) * left.row_stride + inner.saturating_sub(1) * left.col_stride;
    assert!(rows == 0 || inner == 0 || last < left.values.len(), "left out of bounds");
    if TypeId::of::<S>() == TypeId::of::<f32>() {
        with_simd(Product::<f32>::new(out, stride, start, left, right, extents));
    } else {
        with_simd(Product::<f64>::new(out, stride, start, left, right, extents));
    }
}

/// Writes the transposed of rows of `width` elements, a multiple of [`LANES`] of them: row `c` of
/// `out`, `stride` elements apart, becomes column `c`. `out` has as many rows as are wanted.
pub fn transpose<S: Scalar>(rows: &[S], width: usize, out: &mut [S], stride: usize) {
    assert!(rows.len().is_multiple_of(LANES * width) && rows.len() / width <= stride);
    assert!(out.len() / stride <= width);
    vectorised(
        #[inline(always)]
        || {
            for (group, rows) in rows.chunks_exact(LANES * width).enumerate() {
                for (c, out) in out.chunks_exact_mut(stride).enumerate() {
                    // SAFETY: `c < width` (asserted), so the last index is below `LANES * width`.
                    let at = |i: usize| unsafe { *rows.get_unchecked(i * width + c) };
                    let column: [S; LANES] = std::array::from_fn(at);
                    out[group * LANES..][..LANES].copy_from_slice(&column);
                }
            }
        },
    );
}

/// A row times `scale`, filled up with zeros: a vector at a time, as rows are too short for a loop
/// that first finds out how many vectors it takes. For the inside of vectorised code.
#[inline(always)]
pub fn fill_row<S: Scalar>(filled: &mut [S], source: &[S], scale: S) {
    let (whole, rest) = source.as_chunks::<LANES>();
    let (filled, filled_rest) = filled.split_at_mut(whole.len() * LANES);
    for (filled, source) in filled.as_chunks_mut::<LANES>().0.iter_mut().zip(whole) {
        // A copy of its own, so that no number written can be one still to be read.
        let mut numbers = *source;
        numbers.iter_mut().for_each(|x| *x *= scale);
        *filled = numbers;
    }
    let rest = rest.iter().map(|&x| scale * x).chain(std::iter::repeat(S::ZERO));
    for (filled, x) in filled_rest.iter_mut().zip(rest) {
        *filled = x;
    }
}

/// Cuts memory into pieces of the given lengths.
pub fn pieces<const N: usize, S>(mut memory: &mut [S], lengths: [usize; N]) -> [&mut [S]; N] {
    lengths.map(|len| {
        let (piece, rest) = std::mem::take(&mut memory).split_at_mut(len);
        memory = rest;
        piece
    })
}

/// A product whose extents have been checked against its memory.
struct Product<'a, E> {
    out: &'a mut [E],
    stride: usize,
    start: Start<'a, E>,
    left: Left<'a, E>,
    right: Right<'a, E>,
    extents: Extents,
}

impl<'a, E: Element> Product<'a, E> {
    /// The same numbers as `E`, which they are.
    fn new<S: Scalar>(
        out: &'a mut [S],
        stride: usize,
        start: Start<'a, S>,
        left: Left<'a, S>,
        right: Right<'a, S>,
        extents: Extents,
    ) -> Self {
        Self {
            out: bytemuck::cast_slice_mut(out),
            stride,
            start: match start {
                Start::Zero => Start::Zero,
                Start::Out => Start::Out,
                Start::Of(start) => Start::Of(bytemuck::cast_slice(start)),
                Start::Row(start) => Start::Row(bytemuck::cast_slice(start)),
            },
            left: Left {
                values: bytemuck::cast_slice(left.values),
                row_stride: left.row_stride,
                col_stride: left.col_stride,
            },
            right: Right { values: bytemuck::cast_slice(right.values), stride: right.stride },
            extents,
        }
    }

    /// Columns `col` and on, `V` vectors of them: as many rows at a time as the registers hold.
    #[inline(always)]
    fn panel<M: Simd, const V: usize, const R: usize>(&mut self, simd: M, col: usize) {
        let rows = self.extents.rows;
        let mut row = 0;
        while row + R <= rows {
            self.block::<M, R, V>(simd, row, col);
            row += R;
        }
        while row + 4 <= rows {
            self.block::<M, 4, V>(simd, row, col);
            row += 4;
        }
        while row < rows {
            self.block::<M, 1, V>(simd, row, col);
            row += 1;
        }
    }

    /// `R` rows by `V` vectors of the result.
    #[inline(always)]
    #[allow(
        clippy::needless_range_loop,
        reason = "indices name the same row and vector throughout"
    )]
    fn block<M: Simd, const R: usize, const V: usize>(&mut self, simd: M, row: usize, col: usize) {
        let lanes = size_of::<E::Vector<M>>() / size_of::<E>();
        let Left { values: left, row_stride, col_stride } = self.left;
        let at = |r: usize, v: usize| (row + r) * self.stride + col + v * lanes;
        // SAFETY: rows below `rows`, columns below `cols` and inner indices below `inner` lie in
        // the slices (asserted by `product`); a vector is `lanes` elements without padding.
        unsafe {
            let mut sums = [[E::splat(simd, E::ZERO); V]; R];
            let start = match self.start {
                Start::Zero => None,
                Start::Out => Some((self.out.as_ptr().add(at(0, 0)), self.stride)),
                Start::Of(start) => Some((start.as_ptr().add(at(0, 0)), self.stride)),
                Start::Row(start) => Some((start.as_ptr().add(col), 0)),
            };
            if let Some((start, stride)) = start {
                for r in 0..R {
                    for v in 0..V {
                        let start = start.add(r * stride + v * lanes);
                        sums[r][v] = start.cast::<E::Vector<M>>().read_unaligned();
                    }
                }
            }
            let mut left = left.as_ptr().add(row * row_stride);
            let mut right = self.right.values.as_ptr().add(col);
            for _ in 0..self.extents.inner {
                let mut b = [E::splat(simd, E::ZERO); V];
                for (v, b) in b.iter_mut().enumerate() {
                    *b = right.add(v * lanes).cast::<E::Vector<M>>().read_unaligned();
                }
                for r in 0..R {
                    let a = E::splat(simd, *left.add(r * row_stride));
                    for v in 0..V {
                        sums[r][v] = E::fused(simd, a, b[v], sums[r][v]);
                    }
                }
                left = left.wrapping_add(col_stride);
                right = right.wrapping_add(self.right.stride);
            }
            for r in 0..R {
                for v in 0..V {
                    let out = self.out.as_mut_ptr().add(at(r, v));
                    out.cast::<E::Vector<M>>().write_unaligned(sums[r][v]);
                }
            }
        }
    }
}

impl<E: Element> WithSimd for Product<'_, E> {
    type Output = ();

    /// Panels of 3 vectors, or 2 where 3 would leave 1 over: with the rows of a block they fill
    /// 24 of 32 registers (12 of 16) with sums.
    #[inline(always)]
    fn with_simd<M: Simd>(mut self, simd: M) {
        let lanes = size_of::<E::Vector<M>>() / size_of::<E>();
        let many = M::REGISTER_COUNT >= 32;
        let mut col = 0;
        while col < self.extents.cols {
            let vectors = match (self.extents.cols - col) / lanes {
                4 => 2,
                left => left.min(3),
            };
            match (vectors, many) {
                (3, true) => self.panel::<M, 3, 8>(simd, col),
                (3, false) => self.panel::<M, 3, 4>(simd, col),
                (2, true) => self.panel::<M, 2, 12>(simd, col),
                (2, false) => self.panel::<M, 2, 6>(simd, col),
                (_, true) => self.panel::<M, 1, 16>(simd, col),
                (_, false) => self.panel::<M, 1, 8>(simd, col),
            }
            col += vectors * lanes;
        }
    }
}
