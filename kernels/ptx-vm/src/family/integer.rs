//! Integers: `add sub abs neg min max sad`, and pairs of 16 bits. Results wrap around unless `.sat` holds them.

use super::pairs;
use crate::arithmetic::integer::Integer;
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run};
use crate::registers::Lane;
use crate::shapes::{Binary, Host, Ternary, Unary, binary, rare_binary, rare_ternary, unary};
use crate::syntax::Type;

/// Calls `$body` with `$t` standing for the Rust type of an integer type of 16, 32 or 64 bits; `None` for other types.
macro_rules! with_integer {
    ($kind:expr, $t:ident => $body:expr) => {
        match $kind {
            crate::syntax::Type::U16 => {
                type $t = u16;
                Some($body)
            }
            crate::syntax::Type::S16 => {
                type $t = i16;
                Some($body)
            }
            crate::syntax::Type::U32 => {
                type $t = u32;
                Some($body)
            }
            crate::syntax::Type::S32 => {
                type $t = i32;
                Some($body)
            }
            crate::syntax::Type::U64 => {
                type $t = u64;
                Some($body)
            }
            crate::syntax::Type::S64 => {
                type $t = i64;
                Some($body)
            }
            _ => None,
        }
    };
}
pub(super) use with_integer;

struct Add;
struct Sub;
struct AddHeld;
struct SubHeld;
struct Neg;
struct Abs;
struct Min;
struct Max;
struct MinPositive;
struct MaxPositive;
struct SumOfDifferences;

impl<T: Integer + Lane> Binary<T, T, T> for Add {
    #[inline(always)]
    fn of(a: T, b: T) -> T {
        a.plus(b)
    }
}

impl<T: Integer + Lane> Binary<T, T, T> for Sub {
    #[inline(always)]
    fn of(a: T, b: T) -> T {
        a.minus(b)
    }
}

impl Binary<i32, i32, i32> for AddHeld {
    #[inline(always)]
    fn of(a: i32, b: i32) -> i32 {
        a.saturating_add(b)
    }
}

impl Binary<i32, i32, i32> for SubHeld {
    #[inline(always)]
    fn of(a: i32, b: i32) -> i32 {
        a.saturating_sub(b)
    }
}

impl<T: Integer + Lane> Unary<T, T> for Neg {
    #[inline(always)]
    fn of(a: T) -> T {
        T::ZERO.minus(a)
    }
}

impl<T: Integer + Lane> Unary<T, T> for Abs {
    #[inline(always)]
    fn of(a: T) -> T {
        a.magnitude()
    }
}

impl<T: Integer + Lane> Binary<T, T, T> for Min {
    #[inline(always)]
    fn of(a: T, b: T) -> T {
        a.min(b)
    }
}

impl<T: Integer + Lane> Binary<T, T, T> for Max {
    #[inline(always)]
    fn of(a: T, b: T) -> T {
        a.max(b)
    }
}

impl Binary<i32, i32, i32> for MinPositive {
    #[inline(always)]
    fn of(a: i32, b: i32) -> i32 {
        a.min(b).max(0)
    }
}

impl Binary<i32, i32, i32> for MaxPositive {
    #[inline(always)]
    fn of(a: i32, b: i32) -> i32 {
        a.max(b).max(0)
    }
}

impl<T: Integer + Lane> Ternary<T, T, T, T> for SumOfDifferences {
    #[inline(always)]
    fn of(a: T, b: T, c: T) -> T {
        c.plus(a.max(b).minus(a.min(b)))
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    if let Some(pair) = modifiers.take_one(pairs::Pair::parse) {
        return pairs::decode(site, modifiers, pair);
    }
    let kind = modifiers.take_last_type()?;
    let (sources, run) = match site.opcode() {
        "add" => (2, sum(site, &mut modifiers, kind, true)),
        "sub" => (2, sum(site, &mut modifiers, kind, false)),
        "min" => (2, extreme(site, &mut modifiers, kind, true)),
        "max" => (2, extreme(site, &mut modifiers, kind, false)),
        "sad" => (3, with_integer!(kind, T => rare_ternary::<SumOfDifferences, T, T, T, T>())),
        "neg" if kind.is_signed() => (1, with_integer!(kind, T => unary::<Neg, T, T>(site.host()))),
        "abs" if kind.is_signed() => (1, with_integer!(kind, T => unary::<Abs, T, T>(site.host()))),
        _ => (0, None),
    };
    let run = run.ok_or_else(|| site.wrong_type(kind))?;
    modifiers.finish()?;
    let operands = site.typed(&[kind; 4][..=sources])?;
    site.emit(Encoded::new(run, Family::Integer, &operands))
}

/// Sums of either sign are the same bits.
pub(super) fn unsigned(kind: Type) -> Type {
    match kind {
        Type::S16 => Type::U16,
        Type::S32 => Type::U32,
        Type::S64 => Type::U64,
        other => other,
    }
}

fn sum(
    site: &Site<'_, '_, '_>,
    modifiers: &mut Modifiers<'_>,
    kind: Type,
    add: bool,
) -> Option<Run> {
    let host: Host = site.host();
    match (kind == Type::S32 && modifiers.take("sat"), add) {
        (true, true) => Some(rare_binary::<AddHeld, i32, i32, i32>()),
        (true, false) => Some(rare_binary::<SubHeld, i32, i32, i32>()),
        (false, true) => with_integer!(unsigned(kind), T => binary::<Add, T, T, T>(host)),
        (false, false) => with_integer!(unsigned(kind), T => binary::<Sub, T, T, T>(host)),
    }
}

fn extreme(
    site: &Site<'_, '_, '_>,
    modifiers: &mut Modifiers<'_>,
    kind: Type,
    least: bool,
) -> Option<Run> {
    let host = site.host();
    match (kind == Type::S32 && modifiers.take("relu"), least) {
        (true, true) => Some(rare_binary::<MinPositive, i32, i32, i32>()),
        (true, false) => Some(rare_binary::<MaxPositive, i32, i32, i32>()),
        (false, true) => with_integer!(kind, T => binary::<Min, T, T, T>(host)),
        (false, false) => with_integer!(kind, T => binary::<Max, T, T, T>(host)),
    }
}
