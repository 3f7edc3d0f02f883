//! What the integer types have in common, so that an instruction is written once for all.

/// An integer a register can hold; arithmetic wraps around.
pub trait Integer: Copy + Ord {
    const BITS: u32;
    const ZERO: Self;
    fn plus(self, other: Self) -> Self;
    fn minus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    /// The upper half of the product.
    fn times_high(self, other: Self) -> Self;
    /// The smallest number over -1 is itself; `None` for a division by zero.
    fn over(self, other: Self) -> Option<Self>;
    fn modulo(self, other: Self) -> Option<Self>;
    /// The absolute value; that of the smallest number is itself.
    fn magnitude(self) -> Self;
    /// Shifts of the width and more leave nothing.
    fn left(self, by: u32) -> Self;
    /// Shifts of the width and more leave nothing but the sign.
    fn right(self, by: u32) -> Self;
}

macro_rules! integer {
    ($($t:ty, $wide:ty, $magnitude:expr;)*) => {$(
        impl Integer for $t {
            const BITS: u32 = <$t>::BITS;
            const ZERO: Self = 0;
            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn minus(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn times(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn times_high(self, other: Self) -> Self {
                ((self as $wide * other as $wide) >> Self::BITS) as $t
            }
            #[inline(always)]
            fn over(self, other: Self) -> Option<Self> {
                if other == 0 { None } else { Some(self.wrapping_div(other)) }
            }
            #[inline(always)]
            fn modulo(self, other: Self) -> Option<Self> {
                if other == 0 { None } else { Some(self.wrapping_rem(other)) }
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                $magnitude(self)
            }
            #[inline(always)]
            fn left(self, by: u32) -> Self {
                if by < Self::BITS { self << (by & (Self::BITS - 1)) } else { 0 }
            }
            #[inline(always)]
            fn right(self, by: u32) -> Self {
                // The type's own shift by one less than its width leaves the sign; the last place goes after it.
                let bounded = if by < Self::BITS { by } else { Self::BITS - 1 };
                let shifted = self >> (bounded & (Self::BITS - 1));
                if by < Self::BITS { shifted } else { shifted >> 1 }
            }
        }
    )*};
}

integer! {
    u16, u32, |x: u16| x;
    i16, i32, |x: i16| x.wrapping_abs();
    u32, u64, |x: u32| x;
    i32, i64, |x: i32| x.wrapping_abs();
    u64, u128, |x: u64| x;
    i64, i128, |x: i64| x.wrapping_abs();
}
