//! Single and double precision: `add sub mul fma mad abs neg`.

use super::extreme;
use super::rounded::{
    self, Difference, FLUSH, HOLD, Operation, Product, ProductSum, Sum, take_rounding,
};
use crate::arithmetic::format::Rounding;
use crate::arithmetic::single::{canonical_wide, finished, flushed_if};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run, flag};
use crate::shapes::{
    Binary, Host, Ternary, Unary, binary, rare_binary, rare_ternary, ternary, unary,
};
use crate::syntax::Type;

/// Subnormals are flushed, results held between 0 and 1.
struct Add<const FLUSH: bool, const HOLD: bool>;
struct Sub<const FLUSH: bool, const HOLD: bool>;
struct Mul<const FLUSH: bool, const HOLD: bool>;
struct Fma<const FLUSH: bool, const HOLD: bool>;

macro_rules! nearest {
    ($($name:ident = $f:expr;)*) => {$(
        impl<const FLUSH: bool, const HOLD: bool> Binary<f32, f32, f32> for $name<FLUSH, HOLD> {
            #[inline(always)]
            fn of(a: f32, b: f32) -> f32 {
                let (a, b) = (flushed_if(FLUSH, a), flushed_if(FLUSH, b));
                finished($f(a, b), FLUSH, HOLD)
            }
        }
        impl Binary<f64, f64, f64> for $name<false, false> {
            #[inline(always)]
            fn of(a: f64, b: f64) -> f64 {
                canonical_wide($f(a, b))
            }
        }
    )*};
}

nearest! {
    Add = |a, b| a + b;
    Sub = |a, b| a - b;
    Mul = |a, b| a * b;
}

impl<const FLUSH: bool, const HOLD: bool> Ternary<f32, f32, f32, f32> for Fma<FLUSH, HOLD> {
    #[inline(always)]
    fn of(a: f32, b: f32, c: f32) -> f32 {
        let [a, b, c] = [a, b, c].map(|x| flushed_if(FLUSH, x));
        finished(a.mul_add(b, c), FLUSH, HOLD)
    }
}

impl Ternary<f64, f64, f64, f64> for Fma<false, false> {
    #[inline(always)]
    fn of(a: f64, b: f64, c: f64) -> f64 {
        canonical_wide(a.mul_add(b, c))
    }
}

/// The form of an operation that flushes and holds as the instruction says.
macro_rules! formed {
    ($shape:ident $rare:ident, $name:ident, $host:expr, $flush:expr, $hold:expr; $($t:ty),+) => {
        match ($flush, $hold) {
            (false, false) => $shape::<$name<false, false>, $($t),+>($host),
            (true, false) => $shape::<$name<true, false>, $($t),+>($host),
            (false, true) => $rare::<$name<false, true>, $($t),+>(),
            (true, true) => $rare::<$name<true, true>, $($t),+>(),
        }
    };
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "min" | "max" => return extreme::decode(site),
        "abs" | "neg" => return sign(site),
        _ => {}
    }
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let rounding = take_rounding(&mut modifiers);
    let fused = matches!(site.opcode(), "fma" | "mad");
    if fused && rounding.is_none() {
        return Err(site.error(format!("{} of floats needs a rounding", site.opcode())));
    }
    let rounding = rounding.unwrap_or(Rounding::Nearest);
    let single = kind == Type::F32;
    let (flush, hold) = (single && modifiers.take("ftz"), single && modifiers.take("sat"));
    modifiers.finish()?;
    let host = site.host();
    let (run, family) = match kind {
        Type::F32 => (singles(host, site.opcode(), rounding, flush, hold), Family::Float),
        Type::F64 => (doubles(host, site.opcode(), rounding), Family::Double),
        _ => (None, Family::Float),
    };
    let run = run.ok_or_else(|| site.wrong_type(kind))?;
    let mut operands = site.typed(&[kind; 4][..if fused { 4 } else { 3 }])?;
    operands.resize(4, operands[1]);
    let detail = match kind {
        Type::F32 => flag(flush, FLUSH) | flag(hold, HOLD),
        _ => rounding as u32,
    };
    site.emit(Encoded { detail, ..Encoded::new(run, family, &operands) })
}

fn singles(host: Host, name: &str, rounding: Rounding, flush: bool, hold: bool) -> Option<Run> {
    if rounding != Rounding::Nearest {
        return Some(match name {
            "add" => rounded::single::<Sum>(rounding),
            "sub" => rounded::single::<Difference>(rounding),
            "mul" => rounded::single::<Product>(rounding),
            "fma" | "mad" => rounded::single::<ProductSum>(rounding),
            _ => return None,
        });
    }
    Some(match name {
        "add" => formed!(binary rare_binary, Add, host, flush, hold; f32, f32, f32),
        "sub" => formed!(binary rare_binary, Sub, host, flush, hold; f32, f32, f32),
        "mul" => formed!(binary rare_binary, Mul, host, flush, hold; f32, f32, f32),
        "fma" | "mad" => formed!(ternary rare_ternary, Fma, host, flush, hold; f32, f32, f32, f32),
        _ => return None,
    })
}

fn doubles(host: Host, name: &str, rounding: Rounding) -> Option<Run> {
    fn nearest_or<F: Operation>(rounding: Rounding, nearest: Run) -> Run {
        if rounding == Rounding::Nearest { nearest } else { rounded::double::<F> }
    }
    Some(match name {
        "add" => nearest_or::<Sum>(rounding, binary::<Add<false, false>, f64, f64, f64>(host)),
        "sub" => {
            nearest_or::<Difference>(rounding, binary::<Sub<false, false>, f64, f64, f64>(host))
        }
        "mul" => nearest_or::<Product>(rounding, binary::<Mul<false, false>, f64, f64, f64>(host)),
        "fma" | "mad" => nearest_or::<ProductSum>(
            rounding,
            ternary::<Fma<false, false>, f64, f64, f64, f64>(host),
        ),
        _ => return None,
    })
}

/// Only the sign's bit changes, of a NaN too; subnormals are flushed.
struct Abs<const FLUSH: bool>;
struct Neg<const FLUSH: bool>;

impl<const FLUSH: bool> Unary<f32, f32> for Abs<FLUSH> {
    #[inline(always)]
    fn of(a: f32) -> f32 {
        flushed_if(FLUSH, a).abs()
    }
}

impl<const FLUSH: bool> Unary<f32, f32> for Neg<FLUSH> {
    #[inline(always)]
    fn of(a: f32) -> f32 {
        -flushed_if(FLUSH, a)
    }
}

impl Unary<f64, f64> for Abs<false> {
    #[inline(always)]
    fn of(a: f64) -> f64 {
        a.abs()
    }
}

impl Unary<f64, f64> for Neg<false> {
    #[inline(always)]
    fn of(a: f64) -> f64 {
        -a
    }
}

fn sign(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let host = site.host();
    let mut modifiers: Modifiers<'_> = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let flush = kind == Type::F32 && modifiers.take("ftz");
    modifiers.finish()?;
    let (run, family) = match (kind, site.opcode() == "abs", flush) {
        (Type::F32, true, false) => (unary::<Abs<false>, f32, f32>(host), Family::Float),
        (Type::F32, true, true) => (unary::<Abs<true>, f32, f32>(host), Family::Float),
        (Type::F32, false, false) => (unary::<Neg<false>, f32, f32>(host), Family::Float),
        (Type::F32, false, true) => (unary::<Neg<true>, f32, f32>(host), Family::Float),
        (_, true, _) => (unary::<Abs<false>, f64, f64>(host), Family::Double),
        (_, false, _) => (unary::<Neg<false>, f64, f64>(host), Family::Double),
    };
    let operands = site.typed(&[kind; 2])?;
    site.emit(Encoded::new(run, family, &operands))
}
