//! Whether a result is what an exact number rounds to: by the definition of rounding, comparing that number with the
//! result, its neighbours in the format and the points half way, in integers of any length.

use std::cmp::Ordering;

/// A format, and where results go that lie between two of its numbers.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    pub exponent_bits: u32,
    pub fraction_bits: u32,
}

pub const F16: Format = Format { exponent_bits: 5, fraction_bits: 10 };
pub const BF16: Format = Format { exponent_bits: 8, fraction_bits: 7 };
pub const TF32: Format = Format { exponent_bits: 8, fraction_bits: 10 };
pub const F32: Format = Format { exponent_bits: 8, fraction_bits: 23 };
pub const F64: Format = Format { exponent_bits: 11, fraction_bits: 52 };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Nearest,
    Zero,
    Down,
    Up,
    /// The nearest, ties away from zero.
    Away,
}

pub const MODES: [(&str, Mode); 4] =
    [("rn", Mode::Nearest), ("rz", Mode::Zero), ("rm", Mode::Down), ("rp", Mode::Up)];

/// `m * 2^e`.
#[derive(Debug, Clone, Copy)]
pub struct Dyadic {
    pub m: i128,
    pub e: i32,
}

impl Dyadic {
    pub fn times(self, other: Dyadic) -> Dyadic {
        Dyadic { m: self.m.checked_mul(other.m).expect("110 bits"), e: self.e + other.e }
    }

    pub fn minus(self) -> Dyadic {
        Dyadic { m: -self.m, ..self }
    }

    /// Half of the sum of two neighbours.
    fn between(self, other: Dyadic) -> Dyadic {
        let e = self.e.min(other.e);
        Dyadic { m: (self.m << (self.e - e)) + (other.m << (other.e - e)), e: e - 1 }
    }
}

/// The sign of a sum, exactly: numbers of as many bits as it takes, two's complement.
pub fn sign_of_sum(terms: &[Dyadic]) -> Ordering {
    let terms: Vec<_> = terms.iter().filter(|t| t.m != 0).collect();
    let (Some(least), Some(most)) =
        (terms.iter().map(|t| t.e).min(), terms.iter().map(|t| t.e).max())
    else {
        return Ordering::Equal;
    };
    let words = (most - least) as usize / 32 + 7;
    let mut sum = vec![0u32; words];
    for term in &terms {
        let shift = (term.e - least) as usize;
        let (first, bits) = (shift / 32, shift % 32);
        let mut carry = 0u64;
        for (i, word) in sum.iter_mut().enumerate().skip(first) {
            // 32 bits of the shifted number, sign and all.
            let at = 32 * (i - first) as i64 - bits as i64;
            let part = match at {
                ..0 => (term.m << -at) as u32,
                0..=127 => (term.m >> at) as u32,
                _ => (term.m >> 127) as u32,
            };
            let total = u64::from(*word) + u64::from(part) + carry;
            *word = total as u32;
            carry = total >> 32;
        }
    }
    match (sum[words - 1] as i32).cmp(&0) {
        Ordering::Equal if sum.iter().any(|&w| w != 0) => Ordering::Greater,
        order => order,
    }
}

impl Format {
    fn sign(self) -> u64 {
        1 << (self.exponent_bits + self.fraction_bits)
    }

    pub fn infinity(self) -> u64 {
        ((1 << self.exponent_bits) - 1) << self.fraction_bits
    }

    pub fn is_nan(self, bits: u64) -> bool {
        bits & (self.sign() - 1) > self.infinity()
    }

    pub fn is_infinite(self, bits: u64) -> bool {
        bits & (self.sign() - 1) == self.infinity()
    }

    pub fn is_zero(self, bits: u64) -> bool {
        bits & (self.sign() - 1) == 0
    }

    pub fn is_subnormal(self, bits: u64) -> bool {
        !self.is_zero(bits) && bits & self.infinity() == 0
    }

    /// The number; infinity is the next that the exponent would reach.
    pub fn value(self, bits: u64) -> Dyadic {
        let magnitude = bits & (self.sign() - 1);
        let field = (magnitude >> self.fraction_bits) as i32;
        let fraction = i128::from(magnitude & ((1 << self.fraction_bits) - 1));
        let hidden = if field > 0 { 1 << self.fraction_bits } else { 0 };
        let bias = (1 << (self.exponent_bits - 1)) - 1;
        let m = fraction + hidden;
        let m = if bits & self.sign() != 0 { -m } else { m };
        Dyadic { m, e: field.max(1) - bias - self.fraction_bits as i32 }
    }

    /// The numbers below and above in magnitude.
    fn neighbours(self, bits: u64) -> (Option<Dyadic>, Option<Dyadic>) {
        let below = (!self.is_zero(bits)).then(|| self.value(bits - 1));
        let above = (!self.is_infinite(bits)).then(|| self.value(bits + 1));
        (below, above)
    }

    /// Whether `bits` are what an exact number other than 0 rounds to; `exact` compares that number with another.
    pub fn is_rounded(self, bits: u64, mode: Mode, exact: impl Fn(Dyadic) -> Ordering) -> bool {
        if self.is_nan(bits) {
            return false;
        }
        let negative = bits & self.sign() != 0;
        if exact(Dyadic { m: 0, e: 0 }) != if negative { Ordering::Less } else { Ordering::Greater }
        {
            return false;
        }
        // From here on in magnitudes.
        let order = |x: Dyadic| if negative { exact(x).reverse() } else { exact(x) };
        let value = self.value(bits);
        let (below, above) = self.neighbours(bits);
        let grows = match mode {
            Mode::Down => negative,
            Mode::Up => !negative,
            Mode::Zero => false,
            Mode::Nearest | Mode::Away => {
                let fits = |tie: bool, order: Ordering, side: Ordering| {
                    order == side || (tie && order == Ordering::Equal)
                };
                let even = bits & 1 == 0;
                let (low_tie, high_tie) = match mode {
                    Mode::Nearest => (even, even),
                    _ => (true, false),
                };
                let low =
                    below.is_none_or(|b| fits(low_tie, order(b.between(value)), Ordering::Greater));
                let high =
                    above.is_none_or(|a| fits(high_tie, order(value.between(a)), Ordering::Less));
                return low && high;
            }
        };
        match grows {
            true => {
                let reaches = self.is_infinite(bits) || order(value) != Ordering::Greater;
                reaches && below.is_none_or(|b| order(b) == Ordering::Greater)
            }
            false => {
                !self.is_infinite(bits)
                    && order(value) != Ordering::Less
                    && above.is_none_or(|a| self.is_largest(bits) || order(a) == Ordering::Less)
            }
        }
    }

    fn is_largest(self, bits: u64) -> bool {
        bits & (self.sign() - 1) == self.infinity() - 1
    }
}

#[test]
fn the_judge_knows_right_from_wrong() {
    // 1 + 2^-24 lies half way between 1 and 1 + 2^-23.
    let half_way = |x: Dyadic| sign_of_sum(&[Dyadic { m: (1 << 24) + 1, e: -24 }, x.minus()]);
    let one = u64::from(1f32.to_bits());
    let verdicts = |bits, mode| F32.is_rounded(bits, mode, half_way);
    assert!(verdicts(one, Mode::Nearest) && !verdicts(one + 1, Mode::Nearest));
    assert!(!verdicts(one, Mode::Away) && verdicts(one + 1, Mode::Away));
    assert!(verdicts(one, Mode::Down) && !verdicts(one + 1, Mode::Down));
    assert!(verdicts(one, Mode::Zero) && !verdicts(one - 1, Mode::Zero));
    assert!(!verdicts(one, Mode::Up) && verdicts(one + 1, Mode::Up));
    // Beyond the largest.
    let huge = |x: Dyadic| sign_of_sum(&[Dyadic { m: 1, e: 200 }, x.minus()]);
    let (largest, infinite) = (F32.infinity() - 1, F32.infinity());
    assert!(F32.is_rounded(infinite, Mode::Nearest, huge));
    assert!(F32.is_rounded(infinite, Mode::Up, huge) && !F32.is_rounded(largest, Mode::Up, huge));
    assert!(
        F32.is_rounded(largest, Mode::Zero, huge) && !F32.is_rounded(infinite, Mode::Zero, huge)
    );
    // Below the smallest, negative.
    let tiny = |x: Dyadic| sign_of_sum(&[Dyadic { m: -1, e: -1000 }, x.minus()]);
    assert!(
        F32.is_rounded(0x8000_0000, Mode::Nearest, tiny) && !F32.is_rounded(0, Mode::Nearest, tiny)
    );
    assert!(F32.is_rounded(0x8000_0001, Mode::Down, tiny));
}
