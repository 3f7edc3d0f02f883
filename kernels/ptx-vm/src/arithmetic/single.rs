//! Single and double precision as the device treats them: one NaN, subnormals flushed, results held between 0 and 1.

/// The NaN of every single-precision result that is one.
pub const NAN: f32 = f32::from_bits(0x7fff_ffff);
/// The NaN of every double-precision result that is one: what invalid operations give on the device (`CUDART_NAN`).
pub const WIDE_NAN: f64 = f64::from_bits(0xfff8_0000_0000_0000);

/// `.ftz`: a subnormal becomes a zero of its sign.
#[inline(always)]
pub fn flushed(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(if bits & 0x7f80_0000 == 0 { bits & 0x8000_0000 } else { bits })
}

#[inline(always)]
pub fn flushed_if(flush: bool, x: f32) -> f32 {
    if flush { flushed(x) } else { x }
}

/// `.sat`: between 0 and 1; NaN becomes 0, and so does -0.
#[inline(always)]
pub fn saturated(x: f32) -> f32 {
    let low = if x > 0.0 { x } else { 0.0 };
    if low < 1.0 { low } else { 1.0 }
}

/// One NaN for all. On bits: the compiler takes NaNs for alike and drops a choice between two of them.
#[inline(always)]
pub fn canonical(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 { NAN.to_bits() } else { bits })
}

/// As [`canonical`].
#[inline(always)]
pub fn canonical_wide(x: f64) -> f64 {
    let bits = x.to_bits();
    let nan = bits & 0x7fff_ffff_ffff_ffff > 0x7ff0_0000_0000_0000;
    f64::from_bits(if nan { WIDE_NAN.to_bits() } else { bits })
}

/// `y`, or the NaN if `x` is one.
#[inline(always)]
pub fn nan_of(x: f32, y: f32) -> f32 {
    let nan = x.to_bits() & 0x7fff_ffff > 0x7f80_0000;
    f32::from_bits(if nan { NAN.to_bits() } else { y.to_bits() })
}

/// A result made ready: one NaN, flushed, held.
#[inline(always)]
pub fn finished(x: f32, flush: bool, hold: bool) -> f32 {
    let result = flushed_if(flush, canonical(x));
    if hold { saturated(result) } else { result }
}

/// An integer as i32; too large becomes the largest, too small the smallest, NaN 0. (The language's own `as` does the
/// same, but not as vector code.)
#[inline(always)]
pub fn to_i32(x: f32) -> i32 {
    const BEYOND: f32 = 2_147_483_648.0;
    let low = if x > -BEYOND { x } else { -BEYOND };
    let bounded = if low < BEYOND { low } else { 0.0 };
    // SAFETY: at least -2^31, less than 2^31, no NaN.
    let inside: i32 = unsafe { bounded.to_int_unchecked() };
    let most = if x >= BEYOND { i32::MAX } else { inside };
    if x.is_nan() { 0 } else { most }
}

/// An integer as u32, likewise.
#[inline(always)]
pub fn to_u32(x: f32) -> u32 {
    const HALF: f32 = 2_147_483_648.0;
    let low = if x > 0.0 { x } else { 0.0 };
    let bounded = if low < 2.0 * HALF { low } else { 0.0 };
    let upper = bounded >= HALF;
    let lower_half = if upper { bounded - HALF } else { bounded };
    // SAFETY: at least 0, less than 2^31, no NaN.
    let inside: i32 = unsafe { lower_half.to_int_unchecked() };
    let whole = inside as u32 | u32::from(upper) << 31;
    if x >= 2.0 * HALF { u32::MAX } else { whole }
}

/// Numbers with a smallest and a largest of two.
pub trait Extreme: Copy {
    fn nan(self) -> bool;
    /// -0 is less than +0.
    fn less(self, other: Self) -> bool;
}

macro_rules! extreme {
    ($($t:ty),*) => {$(
        impl Extreme for $t {
            #[inline(always)]
            fn nan(self) -> bool {
                self.is_nan()
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self < other || (self == other && self.is_sign_negative())
            }
        }
    )*};
}

extreme!(f32, f64);

/// The smaller; of a NaN and a number the number.
#[inline(always)]
pub fn smaller<T: Extreme>(a: T, b: T) -> T {
    let least = if a.less(b) { a } else { b };
    let either = if b.nan() { a } else { least };
    if a.nan() { b } else { either }
}

/// The larger; of a NaN and a number the number.
#[inline(always)]
pub fn larger<T: Extreme>(a: T, b: T) -> T {
    let most = if a.less(b) { b } else { a };
    let either = if b.nan() { a } else { most };
    if a.nan() { b } else { either }
}
