//! Conversions from and to floats that kernels do all the time, as vector code.

use super::kind::{Conversion, Flags, Kind};
use crate::arithmetic::format::{Format, Rounding};
use crate::arithmetic::half::{from_bf16, from_f16, to_bf16, to_f16};
use crate::arithmetic::single::{canonical, canonical_wide, finished, flushed_if, to_i32, to_u32};
use crate::program::Run;
use crate::shapes::{Binary, Host, Unary, binary, unary};

/// To the nearest, as the host does it.
struct Nearest;
/// The same, subnormals flushed.
struct Flushed;

macro_rules! nearest {
    ($($a:ty => $d:ty: $f:expr;)*) => {$(
        impl Unary<$a, $d> for Nearest {
            #[inline(always)]
            fn of(a: $a) -> $d {
                $f(a)
            }
        }
    )*};
}

nearest! {
    i32 => f32: |a| a as f32;
    u32 => f32: |a| a as f32;
    i64 => f32: |a| a as f32;
    u64 => f32: |a| a as f32;
    i32 => f64: f64::from;
    u32 => f64: f64::from;
    i64 => f64: |a| a as f64;
    u64 => f64: |a| a as f64;
    f32 => f64: |a| canonical_wide(f64::from(a));
    f64 => f32: |a| canonical(a as f32);
}

impl Unary<f32, f64> for Flushed {
    #[inline(always)]
    fn of(a: f32) -> f64 {
        canonical_wide(f64::from(flushed_if(true, a)))
    }
}

impl Unary<f64, f32> for Flushed {
    #[inline(always)]
    fn of(a: f64) -> f32 {
        finished(a as f32, true, false)
    }
}

/// Halves are bits to registers.
struct ToF16;
struct ToBf16;
struct FromF16;
/// A shift, NaN included: that is what the device does.
struct FromBf16;

impl Unary<f32, u16> for ToF16 {
    #[inline(always)]
    fn of(a: f32) -> u16 {
        to_f16(a)
    }
}

impl Unary<f32, u16> for ToBf16 {
    #[inline(always)]
    fn of(a: f32) -> u16 {
        to_bf16(a)
    }
}

impl Unary<u16, f32> for FromF16 {
    #[inline(always)]
    fn of(a: u16) -> f32 {
        canonical(from_f16(a))
    }
}

impl Unary<u16, f32> for FromBf16 {
    #[inline(always)]
    fn of(a: u16) -> f32 {
        from_bf16(a)
    }
}

impl Unary<u16, f32> for Flushed {
    #[inline(always)]
    fn of(a: u16) -> f32 {
        flushed_if(true, from_bf16(a))
    }
}

macro_rules! pair {
    ($($name:ident: $f:ident;)*) => {$(
        impl Binary<f32, f32, u32> for $name {
            #[inline(always)]
            fn of(high: f32, low: f32) -> u32 {
                u32::from($f(high)) << 16 | u32::from($f(low))
            }
        }
    )*};
}

pair! {
    ToF16: to_f16;
    ToBf16: to_bf16;
}

/// To an integer, in this direction, and to a float that is one.
struct Integral<const ROUNDING: u8, const FLUSH: bool>;

#[inline(always)]
fn integral<const ROUNDING: u8>(a: f32) -> f32 {
    match Rounding::from_number(ROUNDING) {
        Rounding::Nearest | Rounding::Away => a.round_ties_even(),
        Rounding::Zero => a.trunc(),
        Rounding::Down => a.floor(),
        Rounding::Up => a.ceil(),
    }
}

macro_rules! to_integer {
    ($($t:ty: $to:ident),*) => {$(
        impl<const ROUNDING: u8, const FLUSH: bool> Unary<f32, $t> for Integral<ROUNDING, FLUSH> {
            /// Too large becomes the largest, NaN 0.
            #[inline(always)]
            fn of(a: f32) -> $t {
                $to(integral::<ROUNDING>(flushed_if(FLUSH, a)))
            }
        }
    )*};
}

to_integer!(i32: to_i32, u32: to_u32);

impl<const ROUNDING: u8, const FLUSH: bool> Unary<f32, f32> for Integral<ROUNDING, FLUSH> {
    #[inline(always)]
    fn of(a: f32) -> f32 {
        finished(integral::<ROUNDING>(flushed_if(FLUSH, a)), FLUSH, false)
    }
}

/// Held between 0 and 1, not rounded.
struct Held<const FLUSH: bool>;

impl<const FLUSH: bool> Unary<f32, f32> for Held<FLUSH> {
    #[inline(always)]
    fn of(a: f32) -> f32 {
        finished(flushed_if(FLUSH, a), FLUSH, true)
    }
}

fn is(kind: Kind, format: Format) -> bool {
    kind.float() == Some(format)
}

/// Code for the conversion of one number, where there is some.
pub(super) fn run(host: Host, conversion: &Conversion) -> Option<Run> {
    let Conversion { from, to, rounding, integral, flags } = *conversion;
    let Flags { sat, relu, satfinite, ftz } = flags;
    if relu || satfinite {
        return None;
    }
    let single = is(from, Format::F32);
    if single && is(to, Format::F32) && sat && !integral {
        return Some(match ftz {
            true => unary::<Held<true>, f32, f32>(host),
            false => unary::<Held<false>, f32, f32>(host),
        });
    }
    let integer = to.float().is_none() && to.bits == 32;
    if single && (integer || (is(to, Format::F32) && integral && !sat)) {
        return Some(match (rounding, ftz) {
            (Rounding::Nearest, false) => to_integer::<0, false>(host, to),
            (Rounding::Zero, false) => to_integer::<1, false>(host, to),
            (Rounding::Down, false) => to_integer::<2, false>(host, to),
            (Rounding::Up, false) => to_integer::<3, false>(host, to),
            (Rounding::Nearest, true) => to_integer::<0, true>(host, to),
            (Rounding::Zero, true) => to_integer::<1, true>(host, to),
            (Rounding::Down, true) => to_integer::<2, true>(host, to),
            (Rounding::Up, true) => to_integer::<3, true>(host, to),
            (Rounding::Away, _) => return None,
        });
    }
    if sat || integral || rounding != Rounding::Nearest {
        return None;
    }
    nearest(host, from, to, ftz)
}

fn to_integer<const ROUNDING: u8, const FLUSH: bool>(host: Host, to: Kind) -> Run {
    match (to.float().is_some(), to.signed()) {
        (true, _) => unary::<Integral<ROUNDING, FLUSH>, f32, f32>(host),
        (_, true) => unary::<Integral<ROUNDING, FLUSH>, f32, i32>(host),
        (_, false) => unary::<Integral<ROUNDING, FLUSH>, f32, u32>(host),
    }
}

/// `ftz` is without effect where no f32 can be subnormal.
fn nearest(host: Host, from: Kind, to: Kind, ftz: bool) -> Option<Run> {
    let (single, double) = (is(to, Format::F32), is(to, Format::F64));
    Some(match (from.float(), from.bits, from.signed()) {
        (None, 32, true) if single => unary::<Nearest, i32, f32>(host),
        (None, 32, false) if single => unary::<Nearest, u32, f32>(host),
        (None, 64, true) if single => unary::<Nearest, i64, f32>(host),
        (None, 64, false) if single => unary::<Nearest, u64, f32>(host),
        (None, 32, true) if double => unary::<Nearest, i32, f64>(host),
        (None, 32, false) if double => unary::<Nearest, u32, f64>(host),
        (None, 64, true) if double => unary::<Nearest, i64, f64>(host),
        (None, 64, false) if double => unary::<Nearest, u64, f64>(host),
        (Some(Format::F32), ..) if double && ftz => unary::<Flushed, f32, f64>(host),
        (Some(Format::F32), ..) if double => unary::<Nearest, f32, f64>(host),
        (Some(Format::F64), ..) if single && ftz => unary::<Flushed, f64, f32>(host),
        (Some(Format::F64), ..) if single => unary::<Nearest, f64, f32>(host),
        (Some(Format::F32), ..) if is(to, Format::F16) && !ftz => unary::<ToF16, f32, u16>(host),
        (Some(Format::F32), ..) if is(to, Format::BF16) && !ftz => unary::<ToBf16, f32, u16>(host),
        (Some(Format::F16), ..) if single && !ftz => unary::<FromF16, u16, f32>(host),
        (Some(Format::BF16), ..) if single && ftz => unary::<Flushed, u16, f32>(host),
        (Some(Format::BF16), ..) if single => unary::<FromBf16, u16, f32>(host),
        _ => return None,
    })
}

/// Code for two numbers at once, where there is some.
pub(super) fn pair(host: Host, conversion: &Conversion) -> Option<Run> {
    let Conversion { from, to, rounding, flags, .. } = *conversion;
    if flags != (Flags { sat: false, relu: false, satfinite: false, ftz: false })
        || rounding != Rounding::Nearest
        || !is(from, Format::F32)
    {
        return None;
    }
    match to.float() {
        Some(Format::F16) => Some(binary::<ToF16, f32, f32, u32>(host)),
        Some(Format::BF16) => Some(binary::<ToBf16, f32, f32, u32>(host)),
        _ => None,
    }
}
