//! Shifts: `shl shr shf`. Amounts beyond the width shift everything out, unless `shf.wrap` says otherwise.

use super::integer::with_integer;
use crate::arithmetic::integer::Integer;
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::Family;
use crate::registers::Lane;
use crate::shapes::{Binary, Ternary, binary, ternary};
use crate::syntax::Type;

struct Left;
struct Right;
/// The upper or lower 32 bits of 64 after a shift, by at most 32 or by the amount's low five bits.
struct FunnelLeft<const WRAP: bool>;
struct FunnelRight<const WRAP: bool>;

impl<T: Integer + Lane> Binary<T, u32, T> for Left {
    #[inline(always)]
    fn of(a: T, by: u32) -> T {
        a.left(by)
    }
}

impl<T: Integer + Lane> Binary<T, u32, T> for Right {
    #[inline(always)]
    fn of(a: T, by: u32) -> T {
        a.right(by)
    }
}

#[inline(always)]
fn amount<const WRAP: bool>(by: u32) -> u32 {
    if WRAP { by & 31 } else { by.min(32) }
}

#[inline(always)]
fn joined(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

impl<const WRAP: bool> Ternary<u32, u32, u32, u32> for FunnelLeft<WRAP> {
    #[inline(always)]
    fn of(low: u32, high: u32, by: u32) -> u32 {
        ((joined(low, high) << amount::<WRAP>(by)) >> 32) as u32
    }
}

impl<const WRAP: bool> Ternary<u32, u32, u32, u32> for FunnelRight<WRAP> {
    #[inline(always)]
    fn of(low: u32, high: u32, by: u32) -> u32 {
        (joined(low, high) >> amount::<WRAP>(by)) as u32
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    if site.opcode() == "shf" {
        return funnel(site);
    }
    let host = site.host();
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let bits = match kind {
        Type::B16 => Type::U16,
        Type::B32 => Type::U32,
        Type::B64 => Type::U64,
        other => other,
    };
    let run = match site.opcode() {
        "shl" if bits == kind => None,
        "shl" => with_integer!(bits, T => binary::<Left, T, u32, T>(host)),
        _ => with_integer!(bits, T => binary::<Right, T, u32, T>(host)),
    };
    let run = run.ok_or_else(|| site.wrong_type(kind))?;
    let operands = site.typed(&[kind, kind, Type::U32])?;
    site.emit(Encoded::new(run, Family::Logic, &operands))
}

fn funnel(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let host = site.host();
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    let (left, right) = (modifiers.take("l"), modifiers.take("r"));
    let (clamp, wrap) = (modifiers.take("clamp"), modifiers.take("wrap"));
    modifiers.finish()?;
    let run = match (left, right, clamp, wrap) {
        (true, false, true, false) => ternary::<FunnelLeft<false>, u32, u32, u32, u32>(host),
        (true, false, false, true) => ternary::<FunnelLeft<true>, u32, u32, u32, u32>(host),
        (false, true, true, false) => ternary::<FunnelRight<false>, u32, u32, u32, u32>(host),
        (false, true, false, true) => ternary::<FunnelRight<true>, u32, u32, u32, u32>(host),
        _ => return Err(site.error("shf needs .l or .r and .clamp or .wrap")),
    };
    if kind != Type::B32 {
        return Err(site.wrong_type(kind));
    }
    let operands = site.typed(&[Type::B32, Type::B32, Type::B32, Type::U32])?;
    site.emit(Encoded::new(run, Family::Logic, &operands))
}
