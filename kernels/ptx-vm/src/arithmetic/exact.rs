//! Exact binary numbers, with what arithmetic on them takes: for roundings and formats the host has no instruction for.

/// What an operation gives before it is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    Nan,
    Infinite { negative: bool },
    Finite(Exact),
}

/// What rounding cuts off, against half a unit of what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Nothing,
    LessThanHalf,
    Half,
    MoreThanHalf,
}

/// `magnitude * 2^exponent`. Results of more bits than fit have their lowest bit set in place of all that is cut off: it
/// lies so far below what any format keeps that they round as the exact number would. Magnitudes stay below 2^126.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact {
    pub negative: bool,
    pub magnitude: u128,
    pub exponent: i32,
}

/// Bits that sums are brought to before they are added.
const SUM_BITS: u32 = 124;
/// Bits that a quotient has at least.
const QUOTIENT_BITS: u32 = 70;

/// The position of the leading bit, from 1; 0 for none.
fn length(magnitude: u128) -> u32 {
    128 - magnitude.leading_zeros()
}

impl Exact {
    pub fn integer(value: i128) -> Self {
        Self { negative: value < 0, magnitude: value.unsigned_abs(), exponent: 0 }
    }

    /// The magnitude in units of `2^unit`, the largest number there is if it is too large, and what is cut off.
    pub fn cut(self, unit: i32) -> (u128, Cut) {
        let Self { magnitude, exponent, .. } = self;
        let shift = unit.saturating_sub(exponent);
        if shift <= 0 {
            let whole = match shift.unsigned_abs() {
                _ if magnitude == 0 => 0,
                shift if shift > magnitude.leading_zeros() => u128::MAX,
                shift => magnitude << shift,
            };
            return (whole, Cut::Nothing);
        }
        let shift = shift.unsigned_abs();
        if shift > length(magnitude) {
            return (0, if magnitude == 0 { Cut::Nothing } else { Cut::LessThanHalf });
        }
        let kept = magnitude.checked_shr(shift).unwrap_or(0);
        let (rest, half) = (magnitude - (kept << shift), 1 << (shift - 1));
        let cut = match rest.cmp(&half) {
            _ if rest == 0 => Cut::Nothing,
            std::cmp::Ordering::Less => Cut::LessThanHalf,
            std::cmp::Ordering::Equal => Cut::Half,
            std::cmp::Ordering::Greater => Cut::MoreThanHalf,
        };
        (kept, cut)
    }

    fn times(self, other: Self) -> Self {
        Self {
            negative: self.negative != other.negative,
            magnitude: self.magnitude * other.magnitude,
            exponent: self.exponent + other.exponent,
        }
    }

    /// The same number with [`SUM_BITS`] bits before the point of `2^exponent`.
    fn raised(self) -> Self {
        let shift = SUM_BITS - length(self.magnitude);
        Self { magnitude: self.magnitude << shift, exponent: self.exponent - shift as i32, ..self }
    }

    /// In units of `2^exponent`, at least the own; what is cut off sets the lowest bit.
    fn lowered(self, exponent: i32) -> u128 {
        let (kept, cut) = self.cut(exponent);
        kept | u128::from(cut != Cut::Nothing)
    }

    /// The sum; an exact zero of two signs is negative only if `down`.
    fn plus(self, other: Self, down: bool) -> Self {
        if self.magnitude == 0 && other.magnitude == 0 {
            let negative = if self.negative == other.negative { self.negative } else { down };
            return Self { negative, ..self };
        }
        if self.magnitude == 0 || other.magnitude == 0 {
            return if self.magnitude == 0 { other } else { self };
        }
        let (a, b) = (self.raised(), other.raised());
        let (high, low) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
        let (x, y) = (high.magnitude, low.lowered(high.exponent));
        if high.negative == low.negative {
            return Self { magnitude: x + y, ..high };
        }
        match x.cmp(&y) {
            std::cmp::Ordering::Equal => Self { negative: down, magnitude: 0, exponent: 0 },
            std::cmp::Ordering::Greater => Self { magnitude: x - y, ..high },
            std::cmp::Ordering::Less => {
                Self { negative: low.negative, magnitude: y - x, exponent: high.exponent }
            }
        }
    }

    fn over(self, other: Self) -> Self {
        let (a, b) = (self.raised(), other.magnitude);
        let (quotient, rest) = (a.magnitude / b, a.magnitude % b);
        debug_assert!(length(quotient) >= QUOTIENT_BITS);
        Self {
            negative: self.negative != other.negative,
            magnitude: quotient | u128::from(rest != 0),
            exponent: a.exponent - other.exponent,
        }
    }

    /// The root of a positive number.
    fn root(self) -> Self {
        let a = self.raised();
        let odd = a.exponent.rem_euclid(2);
        let square = a.magnitude << odd;
        let root = square.isqrt();
        Self {
            magnitude: root << 1 | u128::from(root * root != square),
            exponent: (a.exponent - odd) / 2 - 1,
            ..self
        }
    }
}

impl Number {
    pub const ZERO: Number = Number::Finite(Exact { negative: false, magnitude: 0, exponent: 0 });
    pub const ONE: Number = Number::Finite(Exact { negative: false, magnitude: 1, exponent: 0 });

    pub fn negated(self) -> Self {
        match self {
            Number::Nan => Number::Nan,
            Number::Infinite { negative } => Number::Infinite { negative: !negative },
            Number::Finite(exact) => Number::Finite(Exact { negative: !exact.negative, ..exact }),
        }
    }

    fn is_negative(self) -> bool {
        match self {
            Number::Nan => false,
            Number::Infinite { negative } => negative,
            Number::Finite(exact) => exact.negative,
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, Number::Finite(Exact { magnitude: 0, .. }))
    }

    /// `down`: an exact zero of two signs is negative (rounding down).
    pub fn plus(self, other: Self, down: bool) -> Self {
        match (self, other) {
            (Number::Finite(a), Number::Finite(b)) => Number::Finite(a.plus(b, down)),
            (Number::Nan, _) | (_, Number::Nan) => Number::Nan,
            (Number::Infinite { negative: a }, Number::Infinite { negative: b }) if a != b => {
                Number::Nan
            }
            (Number::Infinite { .. }, _) => self,
            _ => other,
        }
    }

    /// Both of at most 62 bits.
    pub fn times(self, other: Self) -> Self {
        match (self, other) {
            (Number::Finite(a), Number::Finite(b)) => Number::Finite(a.times(b)),
            (Number::Nan, _) | (_, Number::Nan) => Number::Nan,
            _ if self.is_zero() || other.is_zero() => Number::Nan,
            _ => Number::Infinite { negative: self.is_negative() != other.is_negative() },
        }
    }

    /// Both of at most 53 bits.
    pub fn over(self, other: Self) -> Self {
        let negative = self.is_negative() != other.is_negative();
        let zero = Number::Finite(Exact { negative, magnitude: 0, exponent: 0 });
        match (self, other) {
            (Number::Nan, _) | (_, Number::Nan) => Number::Nan,
            (Number::Infinite { .. }, Number::Infinite { .. }) => Number::Nan,
            (Number::Infinite { .. }, _) => Number::Infinite { negative },
            (_, Number::Infinite { .. }) => zero,
            (Number::Finite(_), _) if other.is_zero() && self.is_zero() => Number::Nan,
            (Number::Finite(_), _) if other.is_zero() => Number::Infinite { negative },
            (Number::Finite(a), _) if a.magnitude == 0 => zero,
            (Number::Finite(a), Number::Finite(b)) => Number::Finite(a.over(b)),
        }
    }

    pub fn root(self) -> Self {
        match self {
            Number::Finite(exact) if exact.magnitude == 0 => self,
            _ if self.is_negative() => Number::Nan,
            Number::Finite(exact) => Number::Finite(exact.root()),
            other => other,
        }
    }
}
