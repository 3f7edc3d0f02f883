//! Quotients and roots of floats: `div rcp sqrt rsqrt`, rounded or approximate.

use super::rounded::{self, FLUSH, Operation, Quotient, Reciprocal, Root, take_rounding};
use crate::arithmetic::format::Rounding;
use crate::arithmetic::single::{canonical_wide, finished, flushed_if};
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run};
use crate::shapes::{Binary, Host, Unary, binary, unary};
use crate::syntax::Type;

/// From here on `div.approx` takes a divisor for infinite.
const LARGE: f32 = f32::from_bits((126 + 127) << 23);

struct Div<const FLUSH: bool>;
/// Multiplies by a reciprocal that is zero for large divisors.
struct DivApproximate<const FLUSH: bool>;
struct Rcp<const FLUSH: bool>;
struct Sqrt<const FLUSH: bool>;
struct Rsqrt<const FLUSH: bool>;
/// Of the upper half of the bits, into the upper half of the bits, the rest zeros; subnormals are flushed.
struct RcpCoarse;
struct RsqrtCoarse;

impl<const FLUSH: bool> Binary<f32, f32, f32> for Div<FLUSH> {
    #[inline(always)]
    fn of(a: f32, b: f32) -> f32 {
        finished(flushed_if(FLUSH, a) / flushed_if(FLUSH, b), FLUSH, false)
    }
}

impl<const FLUSH: bool> Binary<f32, f32, f32> for DivApproximate<FLUSH> {
    #[inline(always)]
    fn of(a: f32, b: f32) -> f32 {
        let (a, b) = (flushed_if(FLUSH, a), flushed_if(FLUSH, b));
        let large = (b.abs() > LARGE) & (b.abs() < f32::INFINITY);
        let quotient = if large { a * 0f32.copysign(b) } else { a / b };
        finished(quotient, FLUSH, false)
    }
}

macro_rules! of_one {
    ($($name:ident = $single:expr, $double:expr;)*) => {$(
        impl<const FLUSH: bool> Unary<f32, f32> for $name<FLUSH> {
            #[inline(always)]
            fn of(a: f32) -> f32 {
                finished($single(flushed_if(FLUSH, a)), FLUSH, false)
            }
        }
        impl Unary<f64, f64> for $name<false> {
            #[inline(always)]
            fn of(a: f64) -> f64 {
                canonical_wide($double(a))
            }
        }
    )*};
}

of_one! {
    Rcp = |a: f32| 1.0 / a, |a: f64| 1.0 / a;
    Sqrt = f32::sqrt, f64::sqrt;
    Rsqrt = |a: f32| (1.0 / f64::from(a).sqrt()) as f32, |a: f64| 1.0 / a.sqrt();
}

impl Binary<f64, f64, f64> for Div<false> {
    #[inline(always)]
    fn of(a: f64, b: f64) -> f64 {
        canonical_wide(a / b)
    }
}

/// The NaN of both.
const COARSE_NAN: u64 = 0x7fff_ffff_0000_0000;
const UPPER: u64 = 0xffff_ffff_0000_0000;

#[inline(always)]
fn coarse(a: f64, of: impl Fn(f64) -> f64) -> f64 {
    let flushed = |x: f64| if x.is_subnormal() { 0f64.copysign(x) } else { x };
    let upper = f64::from_bits(a.to_bits() & UPPER);
    let result = flushed(of(flushed(upper)));
    f64::from_bits(if result.is_nan() { COARSE_NAN } else { result.to_bits() & UPPER })
}

impl Unary<f64, f64> for RcpCoarse {
    #[inline(always)]
    fn of(a: f64) -> f64 {
        coarse(a, |a| 1.0 / a)
    }
}

impl Unary<f64, f64> for RsqrtCoarse {
    #[inline(always)]
    fn of(a: f64) -> f64 {
        coarse(a, |a| 1.0 / a.sqrt())
    }
}

/// How an instruction says how near its result has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Rounded(Rounding),
    Approximate,
    /// `.full`: near over the whole range.
    Full,
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let manner = take_rounding(&mut modifiers).map(Manner::Rounded);
    let manner = manner.or_else(|| modifiers.take("approx").then_some(Manner::Approximate));
    let manner = manner.or_else(|| modifiers.take("full").then_some(Manner::Full));
    let flush = modifiers.take("ftz");
    modifiers.finish()?;
    let Some(manner) = manner else {
        return Err(site.error(format!("{} needs a rounding or .approx", site.opcode())));
    };
    let host = site.host();
    let (run, family) = match kind {
        Type::F32 => (single(host, site.opcode(), manner, flush), Family::Float),
        Type::F64 => (double(host, site.opcode(), manner, flush), Family::Double),
        other => return Err(site.wrong_type(other)),
    };
    let run = run.ok_or_else(|| {
        site.error(format!("{} does not exist in this form for {kind:?}", site.opcode()))
    })?;
    let mut operands = site.typed(&[kind; 3][..if site.opcode() == "div" { 3 } else { 2 }])?;
    operands.resize(4, operands[1]);
    let detail = match (kind, manner) {
        (Type::F64, Manner::Rounded(rounding)) => rounding as u32,
        _ if flush => FLUSH,
        _ => 0,
    };
    site.emit(Encoded { detail, ..Encoded::new(run, family, &operands) })
}

fn single(host: Host, name: &str, manner: Manner, flush: bool) -> Option<Run> {
    Some(match (name, manner, flush) {
        ("div", Manner::Approximate, false) => binary::<DivApproximate<false>, f32, f32, f32>(host),
        ("div", Manner::Approximate, true) => binary::<DivApproximate<true>, f32, f32, f32>(host),
        ("rsqrt", Manner::Approximate, false) => unary::<Rsqrt<false>, f32, f32>(host),
        ("rsqrt", Manner::Approximate, true) => unary::<Rsqrt<true>, f32, f32>(host),
        ("rsqrt", ..) => return None,
        ("rcp" | "sqrt", Manner::Full, _) => return None,
        (_, Manner::Rounded(rounding), _) if rounding != Rounding::Nearest => match name {
            "div" => rounded::single::<Quotient>(rounding),
            "rcp" => rounded::single::<Reciprocal>(rounding),
            _ => rounded::single::<Root>(rounding),
        },
        ("div", _, false) => binary::<Div<false>, f32, f32, f32>(host),
        ("div", _, true) => binary::<Div<true>, f32, f32, f32>(host),
        ("rcp", _, false) => unary::<Rcp<false>, f32, f32>(host),
        ("rcp", _, true) => unary::<Rcp<true>, f32, f32>(host),
        ("sqrt", _, false) => unary::<Sqrt<false>, f32, f32>(host),
        ("sqrt", _, true) => unary::<Sqrt<true>, f32, f32>(host),
        _ => return None,
    })
}

fn double(host: Host, name: &str, manner: Manner, flush: bool) -> Option<Run> {
    fn nearest_or<F: Operation>(rounding: Rounding, nearest: Run) -> Run {
        if rounding == Rounding::Nearest { nearest } else { rounded::double::<F> }
    }
    let rounding = match (name, manner, flush) {
        ("rcp", Manner::Approximate, true) => return Some(unary::<RcpCoarse, f64, f64>(host)),
        ("rsqrt", Manner::Approximate, true) => return Some(unary::<RsqrtCoarse, f64, f64>(host)),
        ("rsqrt", Manner::Approximate, false) => {
            return Some(unary::<Rsqrt<false>, f64, f64>(host));
        }
        (_, Manner::Rounded(rounding), false) => rounding,
        _ => return None,
    };
    Some(match name {
        "div" => nearest_or::<Quotient>(rounding, binary::<Div<false>, f64, f64, f64>(host)),
        "rcp" => nearest_or::<Reciprocal>(rounding, unary::<Rcp<false>, f64, f64>(host)),
        "sqrt" => nearest_or::<Root>(rounding, unary::<Sqrt<false>, f64, f64>(host)),
        _ => return None,
    })
}
