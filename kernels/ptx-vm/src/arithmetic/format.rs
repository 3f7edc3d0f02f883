//! Floating-point formats: which numbers a pattern of bits stands for, and which pattern an exact number rounds to.

use super::exact::{Cut, Exact, Number};

/// Where a number between two of a format's goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Rounding {
    /// `.rn`: the nearest, of two as near the even one.
    Nearest,
    /// `.rz`
    Zero,
    /// `.rm`
    Down,
    /// `.rp`
    Up,
    /// `.rna`: the nearest, of two as near the larger in magnitude.
    Away,
}

impl Rounding {
    pub const ALL: [Rounding; 5] =
        [Rounding::Nearest, Rounding::Zero, Rounding::Down, Rounding::Up, Rounding::Away];

    /// The rounding with this number (`as u8`).
    pub fn from_number(number: u8) -> Rounding {
        Self::ALL[usize::from(number) % Self::ALL.len()]
    }

    /// Whether the magnitude grows, given how the part cut off compares with half a unit and whether the kept part is odd.
    pub fn grows(self, negative: bool, cut: Cut, odd: bool) -> bool {
        match self {
            Rounding::Nearest => cut == Cut::MoreThanHalf || (cut == Cut::Half && odd),
            Rounding::Away => matches!(cut, Cut::Half | Cut::MoreThanHalf),
            Rounding::Zero => false,
            Rounding::Down => negative && cut != Cut::Nothing,
            Rounding::Up => !negative && cut != Cut::Nothing,
        }
    }
}

/// A binary format: sign, exponent, fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    pub exponent_bits: u32,
    pub fraction_bits: u32,
    /// No infinities, and one NaN: all bits set (e4m3).
    pub finite: bool,
    /// The NaN of every result that is one.
    pub nan: u64,
}

impl Format {
    pub const F16: Format =
        Format { exponent_bits: 5, fraction_bits: 10, finite: false, nan: 0x7fff };
    pub const BF16: Format =
        Format { exponent_bits: 8, fraction_bits: 7, finite: false, nan: 0x7fff };
    /// The 19 bits that count; they lie in the upper bits of 32.
    pub const TF32: Format =
        Format { exponent_bits: 8, fraction_bits: 10, finite: false, nan: 0x3ffff };
    pub const F32: Format =
        Format { exponent_bits: 8, fraction_bits: 23, finite: false, nan: 0x7fff_ffff };
    /// The NaN is the one invalid operations give on the device and that CUDA names `CUDART_NAN`.
    pub const F64: Format =
        Format { exponent_bits: 11, fraction_bits: 52, finite: false, nan: 0xfff8_0000_0000_0000 };
    pub const E5M2: Format =
        Format { exponent_bits: 5, fraction_bits: 2, finite: false, nan: 0x7f };
    pub const E4M3: Format = Format { exponent_bits: 4, fraction_bits: 3, finite: true, nan: 0x7f };

    fn bias(self) -> i32 {
        (1 << (self.exponent_bits - 1)) - 1
    }

    fn sign(self) -> u64 {
        1 << (self.exponent_bits + self.fraction_bits)
    }

    /// Bits of infinity; in a format without it, of the NaN.
    fn infinity(self) -> u64 {
        match self.finite {
            true => self.sign() - 1,
            false => ((1 << self.exponent_bits) - 1) << self.fraction_bits,
        }
    }

    pub fn largest(self) -> u64 {
        self.infinity() - 1
    }

    /// The number that `bits` stand for.
    pub fn number(self, bits: u64) -> Number {
        let negative = bits & self.sign() != 0;
        let magnitude = bits & (self.sign() - 1);
        if magnitude >= self.infinity() {
            return match magnitude == self.infinity() && !self.finite {
                true => Number::Infinite { negative },
                false => Number::Nan,
            };
        }
        let field = (magnitude >> self.fraction_bits) as i32;
        let fraction = magnitude & ((1 << self.fraction_bits) - 1);
        let hidden = u64::from(field > 0) << self.fraction_bits;
        let exponent = field.max(1) - self.bias() - self.fraction_bits as i32;
        Number::Finite(Exact { negative, magnitude: u128::from(fraction | hidden), exponent })
    }

    /// The bits that `number` rounds to. `saturate`: the largest number in place of infinity.
    pub fn bits(self, number: Number, rounding: Rounding, saturate: bool) -> u64 {
        match number {
            Number::Nan => self.nan,
            Number::Infinite { negative } => {
                let bits = if saturate { self.largest() } else { self.infinity() };
                bits | if negative { self.sign() } else { 0 }
            }
            Number::Finite(exact) => self.finite_bits(exact, rounding, saturate),
        }
    }

    fn finite_bits(self, exact: Exact, rounding: Rounding, saturate: bool) -> u64 {
        let Exact { negative, magnitude, exponent } = exact;
        let sign = if negative { self.sign() } else { 0 };
        if magnitude == 0 {
            return sign;
        }
        let least = 1 - self.bias();
        let leading = (127 - magnitude.leading_zeros() as i32 + exponent).max(least);
        let (kept, cut) = exact.cut(leading - self.fraction_bits as i32);
        let grown = kept as u64 + u64::from(rounding.grows(negative, cut, kept & 1 == 1));
        // A carry out of the fraction moves into the exponent's field, where it belongs.
        let field = ((leading - least) as u64).min(1 << self.exponent_bits);
        let bits = (field << self.fraction_bits) + grown;
        if bits < self.infinity() {
            return sign | bits;
        }
        let stays = matches!(
            (rounding, negative),
            (Rounding::Zero, _) | (Rounding::Down, false) | (Rounding::Up, true)
        );
        sign | if stays || saturate { self.largest() } else { self.infinity() }
    }
}
