//! Read-modify-write: `atom` gives the old value back, `red` does not. Lanes act in their order.

/// Half-precision numbers.
mod half;

use super::address::{
    Address, FREE_SHIFT, addresses, expect_with_policy, manner, take_hints, take_how, take_space,
};
use super::transfer::Cell;
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::memory::Strength;
use crate::program::{Family, Run};
use crate::shapes::Host;
use crate::syntax::{Operand, Space, Type};
use crate::turn::Flow;

/// `detail`: the old values go to operand 1.
const RETURNS: u32 = 1 << FREE_SHIFT;
/// `detail`: and somebody looks at them.
const SEEN: u32 = 2 << FREE_SHIFT;

/// What becomes of an old value; `b` and `c` are the instruction's.
pub trait Update<T: Cell> {
    fn of(old: T, b: T, c: T) -> T;
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let returns = site.opcode() == "atom";
    let mut modifiers = site.modifiers();
    let how = take_how(&mut modifiers, Strength::Relaxed);
    if !returns && matches!(how.strength, Strength::Acquire | Strength::AcquireRelease) {
        return Err(site.error("red gives nothing back that could be acquired"));
    }
    let space = take_space(&mut modifiers);
    let policies = take_hints(&mut modifiers);
    if !matches!(space, Space::Generic | Space::Global | Space::Shared) {
        return Err(site.error("atomics are for global and shared memory"));
    }
    let kind = modifiers.take_last_type()?;
    let keeps_subnormals = modifiers.take("noftz");
    let names = ["add", "min", "max", "inc", "dec", "and", "or", "xor", "exch", "cas"];
    let name = modifiers.take_one(|m| names.iter().find(|n| **n == m).copied());
    let vector = modifiers.take_one(|m| match m {
        "v2" => Some(2),
        "v4" => Some(4),
        "v8" => Some(8),
        _ => None,
    });
    modifiers.finish()?;
    let halves = matches!(kind, Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2);
    let run = name.and_then(|name| match halves {
        true => half::pick(site.host(), name, kind, vector.is_some()),
        false => pick(site.host(), name, kind),
    });
    let (Some(name), Some(run)) = (name, run) else {
        return Err(site.error(format!("no atomic {} of {kind:?}", name.unwrap_or("operation"))));
    };
    if halves != keeps_subnormals {
        return Err(
            site.error(".noftz belongs to atomics of half-precision numbers, and only there")
        );
    }
    if vector.is_some() && (space == Space::Shared || !(halves || kind == Type::F32)) {
        return Err(site.error("vectors are for f32 and half-precision numbers in global memory"));
    }
    let seen = returns && !site.is_unused(site.operand(0)?);
    let result = if returns { RETURNS } else { 0 } | if seen { SEEN } else { 0 };
    let first = usize::from(returns);
    expect_with_policy(site, first + if name == "cas" { 3 } else { 2 }, policies)?;
    let address = Address::decode(site, first, space, how)?;
    let Some(count) = vector else {
        let to = if returns { site.result(0, kind)? } else { address.base };
        let b = site.source(first + 1, kind)?;
        let c = if name == "cas" { site.source(first + 2, kind)? } else { b };
        let detail = address.detail | result;
        let encoded = Encoded::new(run, Family::Atomic, &[address.base, to, b, c]);
        return site.emit(Encoded { detail, number: address.offset, ..encoded });
    };
    elements(site, &address, run, kind, count, result)
}

/// `red.global.add.v4.f32`: each element is an atomic of its own, as the manual says.
fn elements(
    site: &mut Site<'_, '_, '_>,
    address: &Address,
    run: Run,
    kind: Type,
    count: usize,
    result: u32,
) -> LoadResult<()> {
    let returns = result & RETURNS != 0;
    let first = usize::from(returns);
    let Operand::Vector(values) = site.operand(first + 1)? else {
        return Err(site.error("expected values in braces"));
    };
    let results: &[Operand<'_>] = match (returns, site.operand(0)?) {
        (true, Operand::Vector(results)) => results,
        (true, _) => return Err(site.error("expected results in braces")),
        (false, _) => &[],
    };
    if values.len() != count || (returns && results.len() != count) {
        return Err(site.error(format!("expected {count} values in braces")));
    }
    for (i, value) in values.iter().enumerate() {
        let b = site.source_of(value, kind)?;
        let to = if returns { site.destination(&results[i], kind)?.0 } else { address.base };
        let detail = address.detail | result;
        let number = address.offset.wrapping_add(i as i64 * i64::from(kind.bytes()));
        site.emit(Encoded {
            detail,
            number,
            ..Encoded::new(run, Family::Atomic, &[address.base, to, b, b])
        })?;
    }
    Ok(())
}

crate::run! {
    fn update<T: Cell, F: Update<T>>(turn, instruction, mask) {
        let (space, how) = manner(instruction);
        let addresses = addresses(turn, instruction);
        let [_, to, b, c, ..] = instruction.operands;
        let (b, c) = (T::read(turn, b), T::read(turn, c));
        let mut changed = false;
        let blind = instruction.detail & SEEN == 0;
        let old = turn.atomic::<T>(space, mask, &addresses, how, blind, &mut |lane, old| {
            let new = F::of(old, b[lane], c[lane]);
            changed |= new != old;
            new
        })?;
        if instruction.detail & RETURNS != 0 {
            T::write(turn, to, mask, &old);
        }
        if changed {
            *turn.polled = 0;
            return Ok(Flow::Next);
        }
        Ok(turn.after_strong_read(&addresses, old.into_iter().map(Into::into)))
    }
}

macro_rules! updates {
    ($($name:ident: $($t:ty)* => |$old:ident, $b:ident, $c:ident| $body:expr;)*) => {$(
        struct $name;
        $(impl Update<$t> for $name {
            #[inline(always)]
            fn of($old: $t, $b: $t, $c: $t) -> $t {
                $body
            }
        })*
    )*};
}

updates! {
    Add: u32 u64 => |old, b, _c| old.wrapping_add(b);
    Min: u32 u64 => |old, b, _c| old.min(b);
    Max: u32 u64 => |old, b, _c| old.max(b);
    Increment: u32 => |old, b, _c| if old >= b { 0 } else { old + 1 };
    Decrement: u32 => |old, b, _c| if old == 0 || old > b { b } else { old - 1 };
    And: u32 u64 => |old, b, _c| old & b;
    Or: u32 u64 => |old, b, _c| old | b;
    Xor: u32 u64 => |old, b, _c| old ^ b;
    Exchange: u32 u64 => |_old, b, _c| b;
    CompareExchange: u16 u32 u64 => |old, b, c| if old == b { c } else { old };
    MinSigned32: u32 => |old, b, _c| (old as i32).min(b as i32) as u32;
    MaxSigned32: u32 => |old, b, _c| (old as i32).max(b as i32) as u32;
    MinSigned64: u64 => |old, b, _c| (old as i64).min(b as i64) as u64;
    MaxSigned64: u64 => |old, b, _c| (old as i64).max(b as i64) as u64;
    // Global atomics of f32 flush nothing since sm_20 (PTX ISA, atom: "subnormal ... preserved" in shared memory
    // and for f64; global f32 may flush): kept here.
    AddF32: u32 => |old, b, _c| (f32::from_bits(old) + f32::from_bits(b)).to_bits();
    AddF64: u64 => |old, b, _c| (f64::from_bits(old) + f64::from_bits(b)).to_bits();
}

fn pick(host: Host, name: &str, kind: Type) -> Option<Run> {
    use Type::{B16, B32, B64, F32, F64, S32, S64, U32, U64};
    Some(match (name, kind) {
        ("add", U32 | S32) => update::<u32, Add>(host),
        ("add", U64 | S64) => update::<u64, Add>(host),
        ("add", F32) => update::<u32, AddF32>(host),
        ("add", F64) => update::<u64, AddF64>(host),
        ("min", U32) => update::<u32, Min>(host),
        ("min", S32) => update::<u32, MinSigned32>(host),
        ("min", U64) => update::<u64, Min>(host),
        ("min", S64) => update::<u64, MinSigned64>(host),
        ("max", U32) => update::<u32, Max>(host),
        ("max", S32) => update::<u32, MaxSigned32>(host),
        ("max", U64) => update::<u64, Max>(host),
        ("max", S64) => update::<u64, MaxSigned64>(host),
        ("inc", U32) => update::<u32, Increment>(host),
        ("dec", U32) => update::<u32, Decrement>(host),
        ("and", B32) => update::<u32, And>(host),
        ("and", B64) => update::<u64, And>(host),
        ("or", B32) => update::<u32, Or>(host),
        ("or", B64) => update::<u64, Or>(host),
        ("xor", B32) => update::<u32, Xor>(host),
        ("xor", B64) => update::<u64, Xor>(host),
        ("exch", B32 | U32 | S32) => update::<u32, Exchange>(host),
        ("exch", B64 | U64 | S64) => update::<u64, Exchange>(host),
        ("cas", B16) => update::<u16, CompareExchange>(host),
        ("cas", B32 | U32 | S32) => update::<u32, CompareExchange>(host),
        ("cas", B64 | U64 | S64) => update::<u64, CompareExchange>(host),
        _ => return None,
    })
}
