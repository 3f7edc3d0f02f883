//! One of two, and questions about floats: `selp slct testp copysign`.

use crate::arithmetic::single::flushed;
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run};
use crate::registers::{LANES, Lane};
use crate::shapes::{Binary, Host, Ternary, binary, lanes_where, rare_ternary};
use crate::syntax::Type;
use crate::turn::Flow;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "selp" => by_predicate(site),
        "slct" => by_sign(site),
        "testp" => test(site),
        _ => copy_sign(site),
    }
}

/// Types of 16, 32 and 64 bits; selections look at nothing but the width.
fn selectable(kind: Type) -> bool {
    use Type::{B16, B32, B64, F32, F64, S16, S32, S64, U16, U32, U64};
    matches!(kind, B16 | B32 | B64 | U16 | U32 | U64 | S16 | S32 | S64 | F32 | F64)
}

fn by_predicate(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(4)?;
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if !selectable(kind) {
        return Err(site.wrong_type(kind));
    }
    let [d, a, b] = [0, 1, 2].map(|i| site.typed_operand(i, kind));
    let (c, negated) = site.predicate_source(3)?;
    let (a, b) = if negated { (b?, a?) } else { (a?, b?) };
    let run = match kind.bytes() {
        2 => selected::<u16>(site.host()),
        4 => selected::<u32>(site.host()),
        _ => selected::<u64>(site.host()),
    };
    site.emit(Encoded::new(run, Family::Compare, &[d?, a, b, c]))
}

crate::run! {
    fn selected<T: Lane>(turn, instruction, mask) {
        let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
        let (a, mut out) = (turn.registers.get::<T>(a), turn.registers.get::<T>(b));
        let lanes = turn.registers.predicate(c);
        for lane in 0..LANES {
            out[lane] = if lanes >> lane & 1 == 1 { a[lane] } else { out[lane] };
        }
        turn.registers.set(d, mask, &out);
        Ok(Flow::Next)
    }
}

struct BySign;
struct ByFlushedSign;

macro_rules! by_sign {
    ($($t:ty),*) => {$(
        impl Ternary<$t, $t, i32, $t> for BySign {
            #[inline(always)]
            fn of(a: $t, b: $t, c: i32) -> $t {
                if c >= 0 { a } else { b }
            }
        }
        // -0 is not negative; a NaN selects b.
        impl Ternary<$t, $t, f32, $t> for BySign {
            #[inline(always)]
            fn of(a: $t, b: $t, c: f32) -> $t {
                if c >= 0.0 { a } else { b }
            }
        }
        impl Ternary<$t, $t, f32, $t> for ByFlushedSign {
            #[inline(always)]
            fn of(a: $t, b: $t, c: f32) -> $t {
                if flushed(c) >= 0.0 { a } else { b }
            }
        }
    )*};
}

by_sign!(u16, u32, u64);

fn by_width<F, C: Lane>(kind: Type) -> Run
where
    F: Ternary<u16, u16, C, u16> + Ternary<u32, u32, C, u32> + Ternary<u64, u64, C, u64> + 'static,
{
    match kind.bytes() {
        2 => rare_ternary::<F, u16, u16, C, u16>(),
        4 => rare_ternary::<F, u32, u32, C, u32>(),
        _ => rare_ternary::<F, u64, u64, C, u64>(),
    }
}

fn by_sign(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let condition = modifiers.take_last_type()?;
    let kind = modifiers.take_last_type()?;
    let flush = condition == Type::F32 && modifiers.take("ftz");
    modifiers.finish()?;
    let run = match condition {
        _ if !selectable(kind) => return Err(site.wrong_type(kind)),
        Type::S32 => by_width::<BySign, i32>(kind),
        Type::F32 if flush => by_width::<ByFlushedSign, f32>(kind),
        Type::F32 => by_width::<BySign, f32>(kind),
        other => return Err(site.wrong_type(other)),
    };
    let operands = site.typed(&[kind, kind, kind, condition])?;
    site.emit(Encoded::new(run, Family::Compare, &operands))
}

struct Finite;
struct Infinite;
struct Number;
struct NotANumber;
/// Zeros are normal here.
struct Normal;
struct Subnormal;

/// A question about one number.
trait Question<A> {
    fn holds(a: A) -> bool;
}

macro_rules! questions {
    ($([$t:ty] $($name:ident = $f:expr;)*)*) => {$($(
        impl Question<$t> for $name {
            #[inline(always)]
            fn holds(a: $t) -> bool {
                $f(a)
            }
        }
    )*)*};
}

questions! {
    [f32]
    Finite = f32::is_finite;
    Infinite = f32::is_infinite;
    Number = |a: f32| !a.is_nan();
    NotANumber = f32::is_nan;
    Normal = |a: f32| a.is_normal() || a == 0.0;
    Subnormal = f32::is_subnormal;
    [f64]
    Finite = f64::is_finite;
    Infinite = f64::is_infinite;
    Number = |a: f64| !a.is_nan();
    NotANumber = f64::is_nan;
    Normal = |a: f64| a.is_normal() || a == 0.0;
    Subnormal = f64::is_subnormal;
}

crate::run! {
    fn answered<F: Question<A>, A: Lane>(turn, instruction, mask) {
        let a = turn.registers.get::<A>(instruction.operands[1]);
        let lanes = lanes_where(|lane| F::holds(a[lane]));
        turn.registers.set_predicate(instruction.operands[0], mask, lanes);
        Ok(Flow::Next)
    }
}

fn question<A: Lane>(host: Host, name: &str) -> Option<Run>
where
    Finite: Question<A>,
    Infinite: Question<A>,
    Number: Question<A>,
    NotANumber: Question<A>,
    Normal: Question<A>,
    Subnormal: Question<A>,
{
    Some(match name {
        "finite" => answered::<Finite, A>(host),
        "infinite" => answered::<Infinite, A>(host),
        "number" => answered::<Number, A>(host),
        "notanumber" => answered::<NotANumber, A>(host),
        "normal" => answered::<Normal, A>(host),
        "subnormal" => answered::<Subnormal, A>(host),
        _ => return None,
    })
}

fn test(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(2)?;
    let host = site.host();
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let run = match kind {
        Type::F32 => modifiers.take_one(|name| question::<f32>(host, name)),
        Type::F64 => modifiers.take_one(|name| question::<f64>(host, name)),
        other => return Err(site.wrong_type(other)),
    };
    modifiers.finish()?;
    let run = run.ok_or_else(|| site.error("testp needs to know what to test"))?;
    let to = site.operand(0)?;
    let to = site.predicate_result(to)?;
    let from = site.typed_operand(1, kind)?;
    site.emit(Encoded::new(run, Family::Compare, &[to, from]))
}

/// The sign of `a` on `b`: in that order, unlike C's.
struct CopySign;

impl Binary<f32, f32, f32> for CopySign {
    #[inline(always)]
    fn of(a: f32, b: f32) -> f32 {
        b.copysign(a)
    }
}

impl Binary<f64, f64, f64> for CopySign {
    #[inline(always)]
    fn of(a: f64, b: f64) -> f64 {
        b.copysign(a)
    }
}

fn copy_sign(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let host = site.host();
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let (run, family) = match kind {
        Type::F32 => (binary::<CopySign, f32, f32, f32>(host), Family::Float),
        Type::F64 => (binary::<CopySign, f64, f64, f64>(host), Family::Double),
        other => return Err(site.wrong_type(other)),
    };
    let operands = site.typed(&[kind; 3])?;
    site.emit(Encoded::new(run, family, &operands))
}
