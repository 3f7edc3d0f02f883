//! Functions the device approximates, at least as near as the PTX manual promises, and the same bits on every host.
//! Sums of integers are wrapping ones: a check for overflow would keep the lanes from being a vector. Polynomials are
//! least-squares fits at Chebyshev points, from the highest coefficient.

use super::single::{NAN, nan_of};

/// Rounds to an integer what is added to it, and holds that integer in its low bits.
const INTEGER: f32 = 12_582_912.0;
/// Beyond this an angle's quarter turns are no integers a double can hold.
const LARGEST_ANGLE: f64 = 1e15;

/// A polynomial written out (a loop over its coefficients would keep the lanes from being a vector).
macro_rules! polynomial {
    ($x:expr, [$first:expr $(, $next:expr)*]) => {{
        let (x, sum) = ($x, $first);
        $(let sum = sum.mul_add(x, $next);)*
        sum
    }};
}

/// `(2^f - 1) / f` on [-0.5, 0.5], relative error of `2^f` 2^-26.8.
#[inline(always)]
fn exp2_part(f: f32) -> f32 {
    polynomial!(
        f,
        [
            0.000_154_614_48_f32,
            0.001_339_086_7,
            0.009_618_057,
            0.055_503_57,
            0.240_226_5,
            std::f32::consts::LN_2
        ]
    )
}

/// `log2((1 + s) / (1 - s)) / s` in `s^2` for `|s|` up to that of the square root of 2, relative error 2^-26.
#[inline(always)]
fn log2_part(square: f32) -> f32 {
    polynomial!(square, [0.431_733_f32, 0.576_714_5, 0.961_798_85, 2.885_39])
}

/// `sin(r) / r` in `r^2` on the eighth of a circle, absolute error of `sin` 2^-38.
#[inline(always)]
fn sin_part(square: f64) -> f64 {
    polynomial!(
        square,
        [
            2.717252315717436e-06_f64,
            -0.00019839192178686758,
            0.008333328749518074,
            -0.16666666631255816,
            0.9999999999956222
        ]
    )
}

/// `cos(r)` in `r^2`, absolute error 2^-34.
#[inline(always)]
fn cos_part(square: f64) -> f64 {
    polynomial!(
        square,
        [
            2.4378814064907182e-05_f64,
            -0.0013886607080357196,
            0.0416666163345529,
            -0.4999999961122033,
            0.999999999951939
        ]
    )
}

/// 2 to the power of an integer from -126 to 127.
#[inline(always)]
fn power(exponent: i32) -> f32 {
    f32::from_bits((exponent.wrapping_add(127) << 23) as u32)
}

/// At most a step beside the correctly rounded result.
#[inline(always)]
pub fn exp2(x: f32) -> f32 {
    // Beyond these the result is 0 or infinite; comparisons so that NaN stays in range.
    let low = if x > -160.0 { x } else { -160.0 };
    let bounded = if low < 160.0 { low } else { 160.0 };
    let shifted = bounded + INTEGER;
    let whole = shifted.to_bits().wrapping_sub(INTEGER.to_bits()) as i32;
    let fraction = bounded - (shifted - INTEGER);
    let mantissa = exp2_part(fraction).mul_add(fraction, 1.0);
    // In two steps, so that a subnormal result is rounded once.
    let result = mantissa * power(whole >> 1) * power(whole.wrapping_sub(whole >> 1));
    nan_of(x, result)
}

/// Absolute error below 2^-22 between 0.5 and 2, relative error below 2^-22 elsewhere.
#[inline(always)]
pub fn log2(x: f32) -> f32 {
    let small = x < f32::MIN_POSITIVE;
    let scaled = if small { x * 16_777_216.0 } else { x };
    let bits = scaled.to_bits() as i32;
    let half_root = std::f32::consts::FRAC_1_SQRT_2.to_bits() as i32;
    let exponent = bits.wrapping_sub(half_root) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(exponent << 23) as u32);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let whole = exponent.wrapping_sub(if small { 24 } else { 0 }) as f32;
    let finite = log2_part(s * s).mul_add(s, whole);
    let signed = if x < 0.0 { NAN } else { finite };
    let zero = if x == 0.0 { f32::NEG_INFINITY } else { signed };
    let infinite = if x == f32::INFINITY { x } else { zero };
    nan_of(x, infinite)
}

/// The rest of an angle within an eighth of a circle around a multiple of a quarter, and which quarter that is.
#[inline(always)]
fn quarter(x: f32) -> (f64, u32) {
    const TURNS: f64 = std::f64::consts::FRAC_2_PI;
    const HIGH: f64 = std::f64::consts::FRAC_PI_2;
    const LOW: f64 = 6.123_233_995_736_766e-17;
    let x = f64::from(x);
    let quarters = (x * TURNS).round_ties_even();
    let rest = (-quarters).mul_add(LOW, (-quarters).mul_add(HIGH, x));
    (rest, quarters as i64 as u32 & 3)
}

#[inline(always)]
fn circle(x: f32, quarters: u32) -> f32 {
    if !x.is_finite() {
        return NAN;
    }
    if f64::from(x).abs() > LARGEST_ANGLE {
        // The manual promises nothing here.
        let angle = f64::from(x);
        return if quarters == 0 { angle.sin() as f32 } else { angle.cos() as f32 };
    }
    let (rest, quarter) = quarter(x);
    let quarter = quarter.wrapping_add(quarters);
    let square = rest * rest;
    let value = match quarter & 1 {
        0 => rest * sin_part(square),
        _ => cos_part(square),
    };
    (if quarter & 2 == 0 { value } else { -value }) as f32
}

/// Absolute error below 2^-23 up to 10^15.
#[inline(always)]
pub fn sin(x: f32) -> f32 {
    if x == 0.0 { x } else { circle(x, 0) }
}

/// As [`sin`].
#[inline(always)]
pub fn cos(x: f32) -> f32 {
    circle(x, 1)
}

/// Relative error below 2^-11 (in fact 2^-20).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    let square = x * x;
    let near = polynomial!(square, [2.0f32 / 15.0, -1.0 / 3.0, 1.0]) * magnitude;
    let power = exp2(magnitude * (-2.0 * std::f32::consts::LOG2_E));
    let far = (1.0 - power) / (1.0 + power);
    let result = if magnitude < 0.125 { near } else { far };
    nan_of(x, result.copysign(x))
}
