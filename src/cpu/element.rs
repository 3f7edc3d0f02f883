//! A number with the vectors it is computed in.

use super::simd::Simd;
use crate::scalar::Scalar;

/// `f32` and `f64`, for code that is written in vectors of the machine itself.
pub trait Element: Scalar {
    type Vector<M: Simd>: Copy;

    fn splat<M: Simd>(simd: M, x: Self) -> Self::Vector<M>;
    /// `a * b + c`, rounded once.
    fn fused<M: Simd>(
        simd: M,
        a: Self::Vector<M>,
        b: Self::Vector<M>,
        c: Self::Vector<M>,
    ) -> Self::Vector<M>;
}

impl Element for f32 {
    type Vector<M: Simd> = M::f32s;

    #[inline(always)]
    fn splat<M: Simd>(simd: M, x: f32) -> M::f32s {
        simd.splat_f32s(x)
    }
    #[inline(always)]
    fn fused<M: Simd>(simd: M, a: M::f32s, b: M::f32s, c: M::f32s) -> M::f32s {
        simd.mul_add_f32s(a, b, c)
    }
}

impl Element for f64 {
    type Vector<M: Simd> = M::f64s;

    #[inline(always)]
    fn splat<M: Simd>(simd: M, x: f64) -> M::f64s {
        simd.splat_f64s(x)
    }
    #[inline(always)]
    fn fused<M: Simd>(simd: M, a: M::f64s, b: M::f64s, c: M::f64s) -> M::f64s {
        simd.mul_add_f64s(a, b, c)
    }
}
