//! Single precision rounded in any direction: results as a sum of two doubles that is exact in value or, at least,
//! in the sign of its smaller part. Without branches, so that a loop over lanes becomes vector code.

/// `high + low`: `high` is the exact result rounded to double, `low` has the sign of what is missing.
pub type Pair = (f64, f64);

/// What `a + b` is exactly (Knuth's sum of two; nothing overflows, both come from singles).
#[inline(always)]
fn sum(a: f64, b: f64) -> Pair {
    let high = a + b;
    let part = high - a;
    (high, (a - (high - part)) + (b - part))
}

#[inline(always)]
pub fn add(a: f32, b: f32) -> Pair {
    sum(f64::from(a), f64::from(b))
}

/// 24 by 24 bits fit a double.
#[inline(always)]
pub fn multiply(a: f32, b: f32) -> Pair {
    (f64::from(a) * f64::from(b), 0.0)
}

#[inline(always)]
pub fn multiply_add(a: f32, b: f32, c: f32) -> Pair {
    sum(f64::from(a) * f64::from(b), f64::from(c))
}

/// The remainder of a division is a double; so is its sign.
#[inline(always)]
pub fn divide(a: f32, b: f32) -> Pair {
    let (a, b) = (f64::from(a), f64::from(b));
    let high = a / b;
    (high, (-high).mul_add(b, a) * b.signum())
}

#[inline(always)]
pub fn root(a: f32) -> Pair {
    let a = f64::from(a);
    let high = a.sqrt();
    (high, (-high).mul_add(high, a))
}

/// What single rounding to nearest leaves of a pair: its sign is that of the exact rest. NaN where there is none (infinities).
#[inline(always)]
fn rest(pair: Pair, nearest: f32) -> f64 {
    let first = pair.0 - f64::from(nearest);
    if first == 0.0 { pair.1 } else { first }
}

/// The single below a positive one, above a negative one.
#[inline(always)]
fn toward_zero(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_sub(1))
}

#[inline(always)]
fn from_zero(x: f32) -> f32 {
    f32::from_bits(x.to_bits().wrapping_add(1))
}

/// Toward zero (`.rz`).
#[inline(always)]
pub fn zero(pair: Pair) -> f32 {
    let nearest = pair.0 as f32;
    let rest = rest(pair, nearest);
    let beyond = (nearest > 0.0 && rest < 0.0) || (nearest < 0.0 && rest > 0.0);
    if beyond { toward_zero(nearest) } else { nearest }
}

/// Up (`.rp`).
#[inline(always)]
pub fn up(pair: Pair) -> f32 {
    let nearest = pair.0 as f32;
    let rest = rest(pair, nearest);
    let raised = match (nearest == 0.0, nearest < 0.0) {
        (true, _) => f32::from_bits(1),
        (_, true) => toward_zero(nearest),
        _ => from_zero(nearest),
    };
    if rest > 0.0 { raised } else { nearest }
}

/// Down (`.rm`). An exact zero that comes from two signs is negative: the caller sees to that with [`down_sum`].
#[inline(always)]
pub fn down(pair: Pair) -> f32 {
    -up((-pair.0, -pair.1))
}

/// Down, for sums: where the terms cancel the zero is negative; `positive` if all terms are +0.
#[inline(always)]
pub fn down_sum(pair: Pair, positive: bool) -> f32 {
    let result = down(pair);
    if pair.0 == 0.0 && !positive { -0.0 } else { result }
}

/// Toward zero, and the last bit set if that is not exact: rounds to formats of 22 bits and less as the exact number would.
#[inline(always)]
pub fn odd(pair: Pair) -> f32 {
    let nearest = pair.0 as f32;
    let inexact = rest(pair, nearest).abs() > 0.0;
    f32::from_bits(zero(pair).to_bits() | u32::from(inexact))
}
