//! Bits inside a number: `popc clz bfind brev bfe bfi bmsk fns szext prmt`.

use crate::decode::{Encoded, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::program::{Family, Instruction, Run};
use crate::registers::LANES;
use crate::shapes::{Binary, Ternary, Unary, rare_binary, rare_ternary, rare_unary};
use crate::syntax::Type;
use crate::turn::{Flow, Turn};

/// What `bfind` and `fns` give where there is nothing to find.
const NOTHING: u32 = u32::MAX;

struct Count;
struct Leading;
struct Reverse;
struct Find<const SHIFT: bool>;
struct Extract;
struct Mask<const CLAMP: bool>;
struct Extend<const CLAMP: bool>;

macro_rules! widths {
    ($($u:ty, $s:ty;)*) => {$(
        impl Unary<$u, u32> for Count {
            #[inline(always)]
            fn of(a: $u) -> u32 {
                a.count_ones()
            }
        }
        impl Unary<$u, u32> for Leading {
            #[inline(always)]
            fn of(a: $u) -> u32 {
                a.leading_zeros()
            }
        }
        impl Unary<$u, $u> for Reverse {
            #[inline(always)]
            fn of(a: $u) -> $u {
                a.reverse_bits()
            }
        }
        impl<const SHIFT: bool> Unary<$u, u32> for Find<SHIFT> {
            #[inline(always)]
            fn of(a: $u) -> u32 {
                let zeros = a.leading_zeros();
                match a {
                    0 => NOTHING,
                    _ if SHIFT => zeros,
                    _ => <$u>::BITS - 1 - zeros,
                }
            }
        }
        impl<const SHIFT: bool> Unary<$s, u32> for Find<SHIFT> {
            #[inline(always)]
            fn of(a: $s) -> u32 {
                Find::<SHIFT>::of((a ^ (a >> (<$s>::BITS - 1))) as $u)
            }
        }
        impl Ternary<$u, u32, u32, $u> for Extract {
            #[inline(always)]
            fn of(a: $u, position: u32, length: u32) -> $u {
                let (position, length) = (position & 0xff, length & 0xff);
                let shifted = a.checked_shr(position).unwrap_or(0);
                shifted & low_ones(length) as $u
            }
        }
        impl Ternary<$s, u32, u32, $s> for Extract {
            #[inline(always)]
            fn of(a: $s, position: u32, length: u32) -> $s {
                let (position, length) = (position & 0xff, length & 0xff);
                if length == 0 {
                    return 0;
                }
                let shifted = a >> position.min(<$s>::BITS - 1);
                let spare = <$s>::BITS - length.min(<$s>::BITS);
                // Beyond the top bit the sign goes on, so that the field's own sign is the number's.
                shifted << spare >> spare
            }
        }
    )*};
}

widths! {
    u32, i32;
    u64, i64;
}

/// As many ones from the lowest bit on.
#[inline(always)]
fn low_ones(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

impl<const CLAMP: bool> Binary<u32, u32, u32> for Mask<CLAMP> {
    #[inline(always)]
    fn of(position: u32, width: u32) -> u32 {
        let (from, to) = match CLAMP {
            true => (position.min(32), position.saturating_add(width).min(32)),
            false => (position & 31, (position & 31) + (width & 31)),
        };
        (low_ones(to) & !low_ones(from)) as u32
    }
}

impl<const CLAMP: bool> Binary<u32, u32, u32> for Extend<CLAMP> {
    #[inline(always)]
    fn of(a: u32, bits: u32) -> u32 {
        if CLAMP && bits >= 32 { a } else { a & low_ones(bits & 31) as u32 }
    }
}

impl<const CLAMP: bool> Binary<i32, u32, i32> for Extend<CLAMP> {
    #[inline(always)]
    fn of(a: i32, bits: u32) -> i32 {
        match bits & 31 {
            _ if CLAMP && bits >= 32 => a,
            0 => 0,
            bits => a << (32 - bits) >> (32 - bits),
        }
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let (shift, clamp, wrap) = match site.opcode() {
        "bfind" => (modifiers.take("shiftamt"), false, false),
        "bmsk" | "szext" => (false, modifiers.take("clamp"), modifiers.take("wrap")),
        "prmt" => return permute(site),
        _ => (false, false, false),
    };
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let (run, kinds): (Option<Run>, &[Type]) = match site.opcode() {
        "popc" => (count::<Count>(kind), &[Type::U32, kind]),
        "clz" => (count::<Leading>(kind), &[Type::U32, kind]),
        "brev" => (reverse(kind), &[kind; 2]),
        "bfind" if shift => (find::<true>(kind), &[Type::U32, kind]),
        "bfind" => (find::<false>(kind), &[Type::U32, kind]),
        "bfe" => (extract(kind), &[kind, kind, Type::U32, Type::U32]),
        "bfi" => (insert(kind), &[kind, kind, kind, Type::U32, Type::U32]),
        "fns" if kind == Type::B32 => {
            (Some(find_nth as Run), &[Type::B32, Type::B32, Type::B32, Type::S32])
        }
        "bmsk" => (mask(kind, clamp, wrap), &[Type::B32; 3]),
        "szext" => (extend(kind, clamp, wrap), &[kind, kind, Type::U32]),
        _ => (None, &[]),
    };
    let run = run.ok_or_else(|| {
        site.error(format!("{} does not exist in this form or for {kind:?}", site.opcode()))
    })?;
    let operands = site.typed(kinds)?;
    site.emit(Encoded::new(run, Family::Integer, &operands))
}

fn count<F: Unary<u32, u32> + Unary<u64, u32> + 'static>(kind: Type) -> Option<Run> {
    match kind {
        Type::B32 => Some(rare_unary::<F, u32, u32>()),
        Type::B64 => Some(rare_unary::<F, u64, u32>()),
        _ => None,
    }
}

fn reverse(kind: Type) -> Option<Run> {
    match kind {
        Type::B32 => Some(rare_unary::<Reverse, u32, u32>()),
        Type::B64 => Some(rare_unary::<Reverse, u64, u64>()),
        _ => None,
    }
}

fn find<const SHIFT: bool>(kind: Type) -> Option<Run> {
    match kind {
        Type::U32 => Some(rare_unary::<Find<SHIFT>, u32, u32>()),
        Type::S32 => Some(rare_unary::<Find<SHIFT>, i32, u32>()),
        Type::U64 => Some(rare_unary::<Find<SHIFT>, u64, u32>()),
        Type::S64 => Some(rare_unary::<Find<SHIFT>, i64, u32>()),
        _ => None,
    }
}

fn extract(kind: Type) -> Option<Run> {
    match kind {
        Type::U32 => Some(rare_ternary::<Extract, u32, u32, u32, u32>()),
        Type::S32 => Some(rare_ternary::<Extract, i32, u32, u32, i32>()),
        Type::U64 => Some(rare_ternary::<Extract, u64, u32, u32, u64>()),
        Type::S64 => Some(rare_ternary::<Extract, i64, u32, u32, i64>()),
        _ => None,
    }
}

fn mask(kind: Type, clamp: bool, wrap: bool) -> Option<Run> {
    match (kind, clamp, wrap) {
        (Type::B32, true, false) => Some(rare_binary::<Mask<true>, u32, u32, u32>()),
        (Type::B32, false, true) => Some(rare_binary::<Mask<false>, u32, u32, u32>()),
        _ => None,
    }
}

fn extend(kind: Type, clamp: bool, wrap: bool) -> Option<Run> {
    match (kind, clamp, wrap) {
        (Type::U32, true, false) => Some(rare_binary::<Extend<true>, u32, u32, u32>()),
        (Type::S32, true, false) => Some(rare_binary::<Extend<true>, i32, u32, i32>()),
        (Type::U32, false, true) => Some(rare_binary::<Extend<false>, u32, u32, u32>()),
        (Type::S32, false, true) => Some(rare_binary::<Extend<false>, i32, u32, i32>()),
        _ => None,
    }
}

fn insert(kind: Type) -> Option<Run> {
    match kind {
        Type::B32 => Some(insert_narrow),
        Type::B64 => Some(insert_wide),
        _ => None,
    }
}

/// The bits that a field covers in a number of `bits` bits.
fn field(position: u32, length: u32, bits: u32) -> u64 {
    let (position, length) = (position & 0xff, length & 0xff);
    low_ones((position + length).min(bits)) & !low_ones(position)
}

macro_rules! insertion {
    ($name:ident, $t:ty) => {
        fn $name(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
            let slots = &instruction.operands;
            let (a, b) = (turn.registers.get::<$t>(slots[1]), turn.registers.get::<$t>(slots[2]));
            let positions = turn.registers.get::<u32>(slots[3]);
            let lengths = turn.registers.get::<u32>(slots[4]);
            let out: [$t; LANES] = std::array::from_fn(|lane| {
                let field = field(positions[lane], lengths[lane], <$t>::BITS) as $t;
                let moved = a[lane].checked_shl(positions[lane] & 0xff).unwrap_or(0);
                (b[lane] & !field) | (moved & field)
            });
            turn.registers.set(slots[0], mask, &out);
            Ok(Flow::Next)
        }
    };
}

insertion!(insert_narrow, u32);
insertion!(insert_wide, u64);

fn find_nth(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
    let (bits, bases) = (turn.registers.get::<u32>(a), turn.registers.get::<u32>(b));
    let offsets = turn.registers.get::<i32>(c);
    let mut out = [NOTHING; LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let (bits, base, offset) = (bits[lane], bases[lane], offsets[lane]);
        if base > 31 {
            let message = format!("fns with base {base}; at most 31");
            return Err(Box::new(Violation::by(Rule::Trap, lane as u32, message)));
        }
        let nth = offset.unsigned_abs().saturating_sub(1) as usize;
        let set = |position: &u32| bits >> position & 1 == 1;
        let found = match offset {
            0 => Some(base).filter(set),
            1.. => (base..32).filter(set).nth(nth),
            _ => (0..=base).rev().filter(set).nth(nth),
        };
        out[lane] = found.unwrap_or(NOTHING);
    }
    turn.registers.set(d, mask, &out);
    Ok(Flow::Next)
}

/// How `prmt` finds the four bytes (`detail`).
const MODES: [&str; 6] = ["f4e", "b4e", "rc8", "ecl", "ecr", "rc16"];
const GENERIC: u32 = MODES.len() as u32;

/// Nibbles that select bytes in the named modes, for each value of the control's two low bits.
const SELECTORS: [[u32; 4]; MODES.len()] = [
    [0x3210, 0x4321, 0x5432, 0x6543],
    [0x5670, 0x6701, 0x7012, 0x0123],
    [0x0000, 0x1111, 0x2222, 0x3333],
    [0x3210, 0x3211, 0x3222, 0x3333],
    [0x0000, 0x1110, 0x2210, 0x3210],
    [0x1010, 0x3232, 0x1010, 0x3232],
];

fn permute(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let mode = modifiers.take_one(|part| MODES.iter().position(|mode| *mode == part));
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if kind != Type::B32 {
        return Err(site.wrong_type(kind));
    }
    let operands = site.typed(&[Type::B32; 4])?;
    let detail = mode.map_or(GENERIC, |mode| mode as u32);
    site.emit(Encoded { detail, ..Encoded::new(pick(site.host()), Family::Integer, &operands) })
}

crate::run! {
    fn pick(turn, instruction, mask) {
        let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
        let (a, b) = (turn.registers.get::<u32>(a), turn.registers.get::<u32>(b));
        let mut controls = turn.registers.get::<u32>(c);
        if let Some(selectors) = SELECTORS.get(instruction.detail as usize) {
            for control in &mut controls {
                *control = selectors[(*control & 3) as usize];
            }
        }
        let mut out = [0u32; LANES];
        for lane in 0..LANES {
            let bytes = u64::from(b[lane]) << 32 | u64::from(a[lane]);
            for i in 0..4 {
                let selector = controls[lane] >> (4 * i);
                let byte = (bytes >> (8 * (selector & 7))) as u8;
                let sign = (byte as i8 >> 7) as u8;
                let chosen = if selector & 8 != 0 { sign } else { byte };
                out[lane] |= u32::from(chosen) << (8 * i);
            }
        }
        turn.registers.set(d, mask, &out);
        Ok(Flow::Next)
    }
}
