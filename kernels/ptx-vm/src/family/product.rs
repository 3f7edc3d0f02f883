//! Products of integers: `mul mad mul24 mad24 dp4a dp2a`.

use super::integer::{unsigned, with_integer};
use crate::arithmetic::integer::Integer;
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run, flag};
use crate::registers::Lane;
use crate::shapes::{Binary, Host, Ternary, binary, rare_binary, rare_ternary, ternary};
use crate::syntax::Type;

struct Low;
struct High;
struct Wide;
/// `High` with a sum that stays in range.
struct HighHeld;

impl<T: Integer + Lane> Binary<T, T, T> for Low {
    #[inline(always)]
    fn of(a: T, b: T) -> T {
        a.times(b)
    }
}

impl<T: Integer + Lane> Binary<T, T, T> for High {
    #[inline(always)]
    fn of(a: T, b: T) -> T {
        a.times_high(b)
    }
}

impl<T: Integer + Lane> Ternary<T, T, T, T> for Low {
    #[inline(always)]
    fn of(a: T, b: T, c: T) -> T {
        a.times(b).plus(c)
    }
}

impl<T: Integer + Lane> Ternary<T, T, T, T> for High {
    #[inline(always)]
    fn of(a: T, b: T, c: T) -> T {
        a.times_high(b).plus(c)
    }
}

impl Ternary<i32, i32, i32, i32> for HighHeld {
    #[inline(always)]
    fn of(a: i32, b: i32, c: i32) -> i32 {
        a.times_high(b).saturating_add(c)
    }
}

macro_rules! wide {
    ($($t:ty => $w:ty),*) => {$(
        impl Binary<$t, $t, $w> for Wide {
            #[inline(always)]
            fn of(a: $t, b: $t) -> $w {
                <$w>::from(a) * <$w>::from(b)
            }
        }
        impl Ternary<$t, $t, $w, $w> for Wide {
            #[inline(always)]
            fn of(a: $t, b: $t, c: $w) -> $w {
                (<$w>::from(a) * <$w>::from(b)).wrapping_add(c)
            }
        }
    )*};
}

wide!(u16 => u32, i16 => i32, u32 => u64, i32 => i64);

/// Products of the low 24 bits of each source.
struct Low24;
struct High24;
struct High24Held;

#[inline(always)]
fn unsigned24(a: u32, b: u32) -> u64 {
    u64::from(a & 0xff_ffff) * u64::from(b & 0xff_ffff)
}

#[inline(always)]
fn signed24(a: i32, b: i32) -> i64 {
    i64::from(a << 8 >> 8) * i64::from(b << 8 >> 8)
}

macro_rules! product24 {
    ($($name:ident, $t:ty, $product:ident, $shift:literal;)*) => {$(
        impl Binary<$t, $t, $t> for $name {
            #[inline(always)]
            fn of(a: $t, b: $t) -> $t {
                ($product(a, b) >> $shift) as $t
            }
        }
        impl Ternary<$t, $t, $t, $t> for $name {
            #[inline(always)]
            fn of(a: $t, b: $t, c: $t) -> $t {
                (($product(a, b) >> $shift) as $t).wrapping_add(c)
            }
        }
    )*};
}

product24! {
    Low24, u32, unsigned24, 0;
    Low24, i32, signed24, 0;
    High24, u32, unsigned24, 16;
    High24, i32, signed24, 16;
}

impl Ternary<i32, i32, i32, i32> for High24Held {
    #[inline(always)]
    fn of(a: i32, b: i32, c: i32) -> i32 {
        ((signed24(a, b) >> 16) as i32).saturating_add(c)
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    match site.opcode() {
        "dp4a" | "dp2a" => return dot(site, modifiers),
        _ => {}
    }
    let kind = modifiers.take_last_type()?;
    let add = site.opcode().starts_with("mad");
    let (wide, run) = match site.opcode() {
        "mul" | "mad" => (modifiers.take("wide"), None),
        _ => (false, by24(&mut modifiers, kind, add)),
    };
    let run = match run {
        Some(run) => Some(run),
        None if site.opcode().ends_with("24") => None,
        None if wide => widening(site.host(), kind, add),
        None => halves(site, &mut modifiers, kind, add),
    };
    let run = run.ok_or_else(|| {
        site.error(format!(
            "{} needs .lo, .hi or .wide and an integer type it takes",
            site.opcode()
        ))
    })?;
    modifiers.finish()?;
    let result = if wide { twice(kind) } else { kind };
    let operands = match add {
        true => site.typed(&[result, kind, kind, result])?,
        false => site.typed(&[result, kind, kind])?,
    };
    site.emit(Encoded::new(run, Family::Integer, &operands))
}

fn twice(kind: Type) -> Type {
    match kind {
        Type::U16 => Type::U32,
        Type::S16 => Type::S32,
        Type::U32 => Type::U64,
        _ => Type::S64,
    }
}

fn widening(host: Host, kind: Type, add: bool) -> Option<Run> {
    Some(match (kind, add) {
        (Type::U16, false) => binary::<Wide, u16, u16, u32>(host),
        (Type::S16, false) => binary::<Wide, i16, i16, i32>(host),
        (Type::U32, false) => binary::<Wide, u32, u32, u64>(host),
        (Type::S32, false) => binary::<Wide, i32, i32, i64>(host),
        (Type::U16, true) => ternary::<Wide, u16, u16, u32, u32>(host),
        (Type::S16, true) => ternary::<Wide, i16, i16, i32, i32>(host),
        (Type::U32, true) => ternary::<Wide, u32, u32, u64, u64>(host),
        (Type::S32, true) => ternary::<Wide, i32, i32, i64, i64>(host),
        _ => return None,
    })
}

fn halves(
    site: &Site<'_, '_, '_>,
    modifiers: &mut Modifiers<'_>,
    kind: Type,
    add: bool,
) -> Option<Run> {
    let host = site.host();
    if modifiers.take("lo") {
        // The lower half is the same with and without signs.
        let kind = unsigned(kind);
        return match add {
            false => with_integer!(kind, T => binary::<Low, T, T, T>(host)),
            true => with_integer!(kind, T => ternary::<Low, T, T, T, T>(host)),
        };
    }
    if !modifiers.take("hi") {
        return None;
    }
    match add {
        false => with_integer!(kind, T => binary::<High, T, T, T>(host)),
        true if kind == Type::S32 && modifiers.take("sat") => {
            Some(rare_ternary::<HighHeld, i32, i32, i32, i32>())
        }
        true => with_integer!(kind, T => ternary::<High, T, T, T, T>(host)),
    }
}

fn by24(modifiers: &mut Modifiers<'_>, kind: Type, add: bool) -> Option<Run> {
    let (low, high) = (modifiers.take("lo"), modifiers.take("hi"));
    let held = add && high && kind == Type::S32 && modifiers.take("sat");
    Some(match (kind, add, low, high) {
        (Type::S32, true, false, true) if held => rare_ternary::<High24Held, i32, i32, i32, i32>(),
        (Type::U32, false, true, false) => rare_binary::<Low24, u32, u32, u32>(),
        (Type::S32, false, true, false) => rare_binary::<Low24, i32, i32, i32>(),
        (Type::U32, false, false, true) => rare_binary::<High24, u32, u32, u32>(),
        (Type::S32, false, false, true) => rare_binary::<High24, i32, i32, i32>(),
        (Type::U32, true, true, false) => rare_ternary::<Low24, u32, u32, u32, u32>(),
        (Type::S32, true, true, false) => rare_ternary::<Low24, i32, i32, i32, i32>(),
        (Type::U32, true, false, true) => rare_ternary::<High24, u32, u32, u32, u32>(),
        (Type::S32, true, false, true) => rare_ternary::<High24, i32, i32, i32, i32>(),
        _ => return None,
    })
}

/// Sources with a sign (`detail`).
const SIGNED_A: u32 = 1;
const SIGNED_B: u32 = 2;
/// Where the bytes of `b` begin for two-way products: 0 or 16.
const SHIFT_B: u32 = 8;

fn dot(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    let four = site.opcode() == "dp4a";
    let upper = !four && modifiers.take("hi");
    if !four && !upper && !modifiers.take("lo") {
        return Err(site.error("dp2a needs .lo or .hi"));
    }
    let b = modifiers.take_last_type()?;
    let a = modifiers.take_last_type()?;
    modifiers.finish()?;
    if let Some(wrong) = [a, b].into_iter().find(|k| !matches!(k, Type::U32 | Type::S32)) {
        return Err(site.wrong_type(wrong));
    }
    let sum = if (a, b) == (Type::U32, Type::U32) { Type::U32 } else { Type::S32 };
    let operands = site.typed(&[sum, a, b, sum])?;
    let detail = flag(a == Type::S32, SIGNED_A)
        | flag(b == Type::S32, SIGNED_B)
        | flag(upper, 16) << SHIFT_B;
    let run = if four { four_way(site.host()) } else { two_way(site.host()) };
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Integer, &operands) })
}

/// Part `index` of `bits` bits, with or without a sign.
#[inline(always)]
fn part(whole: u32, index: u32, bits: u32, signed: bool) -> i32 {
    let top = whole << (32 - bits * (index + 1));
    if signed { top as i32 >> (32 - bits) } else { (top >> (32 - bits)) as i32 }
}

crate::run! {
    fn four_way(turn, instruction, mask) {
        dot_product::<4, 8>(turn, instruction, mask);
        Ok(crate::turn::Flow::Next)
    }
}

crate::run! {
    fn two_way(turn, instruction, mask) {
        dot_product::<2, 16>(turn, instruction, mask);
        Ok(crate::turn::Flow::Next)
    }
}

#[inline(always)]
fn dot_product<const PARTS: u32, const BITS: u32>(
    turn: &mut crate::turn::Turn<'_>,
    instruction: &crate::program::Instruction,
    mask: u32,
) {
    let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
    let (a, b) = (turn.registers.get::<u32>(a), turn.registers.get::<u32>(b));
    let mut sum = turn.registers.get::<i32>(c);
    let signed = (instruction.detail & SIGNED_A != 0, instruction.detail & SIGNED_B != 0);
    let shift = instruction.detail >> SHIFT_B & 31;
    for lane in 0..crate::registers::LANES {
        for i in 0..PARTS {
            let x = part(a[lane], i, BITS, signed.0);
            let y = part(b[lane] >> shift, i, 8, signed.1);
            sum[lane] = sum[lane].wrapping_add(x.wrapping_mul(y));
        }
    }
    turn.registers.set(d, mask, &sum);
}
