//! What `cvt` converts between, and how one conversion is told in a number of an instruction.

use std::fmt;

use crate::arithmetic::exact::{Exact, Number};
use crate::arithmetic::format::{Format, Rounding};
use crate::syntax::Type;

/// A type of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub number: u8,
    /// Of one number.
    pub bits: u32,
    /// Two numbers in a register.
    pub pair: bool,
}

/// Formats by number; integers follow.
const FORMATS: [Format; 7] =
    [Format::F16, Format::BF16, Format::TF32, Format::F32, Format::F64, Format::E4M3, Format::E5M2];
const FORMAT_NAMES: [&str; FORMATS.len()] = ["f16", "bf16", "tf32", "f32", "f64", "e4m3", "e5m2"];
const INTEGER_NAMES: [&str; 8] = ["u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64"];
const BF16: u8 = 1;
const TF32: u8 = 2;
const F32: u8 = 3;
const F64: u8 = 4;
const E4M3: u8 = 5;
/// Bits of a tf32 that do not count.
const TF32_SHIFT: u32 = 13;

impl Kind {
    pub fn parse(name: &str) -> Option<Kind> {
        let (base, pair) = match name.strip_suffix("x2") {
            Some(base) => (base, true),
            None => (name, false),
        };
        if let Some(i) = FORMAT_NAMES.iter().position(|n| *n == base) {
            let single = matches!(i as u8, TF32 | F32 | F64);
            let bits = [16, 16, 32, 32, 64, 8, 8][i];
            let paired = if pair { !single } else { bits > 8 };
            return paired.then_some(Kind { number: i as u8, bits, pair });
        }
        let i = INTEGER_NAMES.iter().position(|n| *n == name)?;
        let number = (FORMATS.len() + i) as u8;
        Some(Kind { number, bits: 8 << (i % 4), pair: false })
    }

    pub fn float(self) -> Option<Format> {
        FORMATS.get(usize::from(self.number)).copied()
    }

    pub fn signed(self) -> bool {
        usize::from(self.number) >= FORMATS.len() + 4
    }

    /// The type its operand is checked against.
    pub fn operand(self) -> Type {
        match (self.float(), self.bits * if self.pair { 2 } else { 1 }) {
            (Some(Format::F32), _) => Type::F32,
            (Some(Format::F64), _) => Type::F64,
            (_, 8) if self.signed() => Type::S8,
            (_, 8) => Type::U8,
            (_, 16) => Type::B16,
            (_, 32) => Type::B32,
            _ => Type::B64,
        }
    }

    /// A float that does not hold all the other's numbers.
    pub fn narrower_than(self, other: Kind) -> bool {
        match (self.float(), other.float()) {
            (Some(a), Some(b)) => {
                a.exponent_bits < b.exponent_bits || a.fraction_bits < b.fraction_bits
            }
            _ => false,
        }
    }

    /// The number that `bits` are.
    #[inline]
    pub fn read(self, bits: u64) -> Number {
        if let Some(format) = self.float() {
            return format.number(bits);
        }
        let spare = 64 - self.bits;
        let value = match self.signed() {
            true => i128::from((bits << spare) as i64 >> spare),
            false => i128::from(bits << spare >> spare),
        };
        Number::Finite(Exact::integer(value))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let i = usize::from(self.number);
        let name = FORMAT_NAMES.get(i).or_else(|| INTEGER_NAMES.get(i - FORMATS.len()));
        write!(f, "{}{}", name.unwrap_or(&""), if self.pair { "x2" } else { "" })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flags {
    pub sat: bool,
    pub relu: bool,
    pub satfinite: bool,
    pub ftz: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversion {
    pub from: Kind,
    pub to: Kind,
    pub rounding: Rounding,
    /// Rounds a float to an integer that stays a float.
    pub integral: bool,
    pub flags: Flags,
}

impl Kind {
    /// One of the eight-bit floats.
    fn small(self) -> bool {
        self.number >= E4M3 && self.float().is_some()
    }

    fn single(self) -> bool {
        self.number == F32
    }

    /// An integer type that holds all of another's numbers.
    fn holds(self, other: Kind) -> bool {
        match (self.signed(), other.signed()) {
            (false, true) => false,
            (true, false) => self.bits > other.bits,
            _ => self.bits >= other.bits,
        }
    }
}

/// Which modifiers go with which types.
pub(super) fn permitted(
    from: Kind,
    to: Kind,
    rounding: Rounding,
    flags: Flags,
) -> Result<(), &'static str> {
    let fine = to.number == TF32;
    let half = to.bits == 16 && to.float().is_some();
    if flags.ftz && (!(from.single() || to.single()) || to.pair || fine) {
        return Err("takes no .ftz");
    }
    if flags.relu {
        let single = (fine || half) && from.single() && !flags.sat && rounding != Rounding::Away;
        if !(to.small() || from.small() || single) {
            return Err("takes no .relu");
        }
    }
    if flags.satfinite {
        let single = half && from.single() || fine && rounding == Rounding::Away;
        if !(to.small() || single) {
            return Err("takes no .satfinite");
        }
    }
    if flags.sat {
        let integers = from.float().is_none() && to.float().is_none();
        let useless = integers && to.holds(from);
        if to.pair || fine || useless || to.number == BF16 || from.number == BF16 {
            return Err("takes no .sat");
        }
    }
    if to.small() && !flags.satfinite {
        return Err("needs .satfinite");
    }
    paired(from, to, rounding)
}

/// Which types go together, and how they may be rounded.
fn paired(from: Kind, to: Kind, rounding: Rounding) -> Result<(), &'static str> {
    let nearest = rounding == Rounding::Nearest;
    if to.number == TF32 && matches!(rounding, Rounding::Down | Rounding::Up) {
        return Err("rounds by .rn, .rz or .rna");
    }
    if (to.small() || from.small()) && !nearest {
        return Err("rounds to nearest (.rn)");
    }
    let byte = |kind: Kind| kind.float().is_none() && kind.bits == 8;
    let fits = match (to.pair, from.pair) {
        (false, false) => {
            let bytes = byte(from) && to.number == BF16;
            !bytes && (to.number != TF32 || from.single())
        }
        (true, false) => from.single() && (nearest || rounding == Rounding::Zero),
        // Between f16 and the small formats.
        (true, true) => (to.small() && from.number == 0) || (from.small() && to.number == 0),
        (false, true) => false,
    };
    match fits && from.number != TF32 {
        true => Ok(()),
        false => Err("there is no such conversion"),
    }
}

impl Conversion {
    /// The conversion as a number of an instruction; [`Conversion::from_number`] reads it.
    pub fn number(self) -> i64 {
        let Flags { sat, relu, satfinite, ftz } = self.flags;
        let flags = [sat, relu, satfinite, ftz, self.integral, self.from.pair, self.to.pair];
        let flags = flags.iter().rev().fold(0, |bits, &flag| bits << 1 | i64::from(flag));
        let kind = |kind: Kind| i64::from(kind.number) | i64::from(kind.bits) << 8;
        kind(self.from) | kind(self.to) << 16 | (self.rounding as i64) << 32 | flags << 40
    }

    pub fn from_number(number: i64) -> Self {
        let byte = |at: i64| (number >> at) as u8;
        let flag = |at: u8| byte(40) >> at & 1 == 1;
        Self {
            from: Kind { number: byte(0), bits: u32::from(byte(8)), pair: flag(5) },
            to: Kind { number: byte(16), bits: u32::from(byte(24)), pair: flag(6) },
            rounding: Rounding::from_number(byte(32)),
            integral: flag(4),
            flags: Flags { sat: flag(0), relu: flag(1), satfinite: flag(2), ftz: flag(3) },
        }
    }

    /// The bits of one number converted, extended to 64 by the result's sign.
    pub fn of(&self, bits: u64) -> u64 {
        let bits = match self.flags.ftz && self.from.number == F32 && bits & 0x7f80_0000 == 0 {
            true => bits & 0x8000_0000,
            false => bits,
        };
        let number = self.from.read(bits);
        match self.to.float() {
            Some(format) => self.float_of(number, format),
            None if self.from.float().is_some() => self.rounded_to_integer(number),
            None => self.integer_of(number),
        }
    }

    fn float_of(&self, number: Number, format: Format) -> u64 {
        let number = match number {
            Number::Finite(exact) if self.integral => Number::Finite(rounded(exact, self.rounding)),
            other => other,
        };
        let rounding = if self.integral { Rounding::Nearest } else { self.rounding };
        let Flags { sat, relu, satfinite, ftz } = self.flags;
        let number = if sat { held(number) } else { number };
        let below = match number {
            Number::Infinite { negative } => negative,
            Number::Finite(exact) => exact.negative,
            Number::Nan => false,
        };
        let number = if relu && below { Number::ZERO } else { number };
        let bits = format.bits(number, rounding, satfinite);
        match self.to.number {
            TF32 => bits << TF32_SHIFT,
            F32 if ftz && bits & 0x7f80_0000 == 0 => bits & 0x8000_0000,
            _ => bits,
        }
    }

    /// Too large a number becomes the largest; NaN becomes 0, or the lowest 64 bits can hold where they take part.
    fn rounded_to_integer(&self, number: Number) -> u64 {
        let value = match number {
            Number::Nan if self.from.number != F64 && self.to.bits < 64 => return 0,
            Number::Nan if self.to.signed() => return u64::MAX << (self.to.bits - 1),
            Number::Nan => return 1 << (self.to.bits - 1),
            Number::Infinite { negative: true } => i128::MIN,
            Number::Infinite { negative: false } => i128::MAX,
            Number::Finite(exact) => {
                let Exact { negative, magnitude, exponent } = rounded(exact, self.rounding);
                let magnitude = match exponent {
                    0 => i128::try_from(magnitude).unwrap_or(i128::MAX),
                    _ => i128::MAX,
                };
                if negative { -magnitude } else { magnitude }
            }
        };
        self.clamped(value)
    }

    fn integer_of(&self, number: Number) -> u64 {
        let Number::Finite(Exact { negative, magnitude, .. }) = number else { return 0 };
        let value = if negative { -(magnitude as i128) } else { magnitude as i128 };
        if self.flags.sat {
            return self.clamped(value);
        }
        let spare = 64 - self.to.bits;
        match self.to.signed() {
            true => (((value as u64) << spare) as i64 >> spare) as u64,
            false => (value as u64) << spare >> spare,
        }
    }

    fn clamped(&self, value: i128) -> u64 {
        let (least, most) = match self.to.signed() {
            true => (-(1i128 << (self.to.bits - 1)), (1i128 << (self.to.bits - 1)) - 1),
            false => (0, (1i128 << self.to.bits) - 1),
        };
        value.clamp(least, most) as u64
    }
}

/// An integer: exponent 0, or a larger one of a number that is an integer anyway.
fn rounded(exact: Exact, rounding: Rounding) -> Exact {
    if exact.exponent > 0 {
        // Everything of 64 bits fits the magnitude; what does not is too large for any integer.
        return match exact.exponent {
            1..=60 if exact.magnitude < 1 << 64 => {
                Exact { magnitude: exact.magnitude << exact.exponent, exponent: 0, ..exact }
            }
            _ => exact,
        };
    }
    let (kept, cut) = exact.cut(0);
    let grown = kept + u128::from(rounding.grows(exact.negative, cut, kept & 1 == 1));
    Exact { magnitude: grown, exponent: 0, ..exact }
}

/// Between 0 and 1; NaN becomes 0.
fn held(number: Number) -> Number {
    match number {
        Number::Infinite { negative: false } => Number::ONE,
        Number::Finite(exact) if !exact.negative => match exact.cut(0).0 {
            0 => number,
            _ => Number::ONE,
        },
        _ => Number::ZERO,
    }
}
