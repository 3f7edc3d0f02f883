//! Loads and stores: `ld ldu st`, single values and vectors of two or four.

use super::address::{
    Address, FREE_SHIFT, addresses, expect_with_policy, manner, take_hints, take_how, take_space,
};
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::memory::{Element, Strength};
use crate::program::{Family, Instruction, Run};
use crate::registers::{LANES, Slot};
use crate::shapes::{Host, Unary, unary};
use crate::syntax::{Operand, Space, Type};
use crate::turn::{Flow, Turn};

/// `detail` above [`FREE_SHIFT`]: bytes of the registers written (1 to 8), and whether the sign is extended into them.
const SIGNED: u32 = 1 << 4;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let load = site.opcode() != "st";
    let mut modifiers = site.modifiers();
    let mut how = take_how(&mut modifiers, Strength::Weak);
    if match how.strength {
        Strength::AcquireRelease => true,
        Strength::Release => load,
        Strength::Acquire => !load,
        Strength::Weak | Strength::Relaxed => false,
    } {
        return Err(site.error("loads acquire, stores release"));
    }
    if load && how.strength == Strength::Weak && site.is_compared() {
        // The first read of a loop of compare-and-swaps, which all of CUDA's headers do in this way.
        how.strength = Strength::Relaxed;
    }
    let space = take_space(&mut modifiers);
    let policies = take_hints(&mut modifiers);
    expect_with_policy(site, 2, policies)?;
    let count = modifiers.take_one(|m| match m {
        "v2" => Some(2),
        "v4" => Some(4),
        _ => None,
    });
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let count = count.unwrap_or(1);
    if kind.bytes() == 0 || kind.bytes() * count > 16 {
        return Err(
            site.error(format!("{count} values of {kind:?} in one access; at most 16 bytes"))
        );
    }
    let address = Address::decode(site, usize::from(load), space, how)?;
    let operands = match site.operand(usize::from(!load))? {
        Operand::Vector(parts) if parts.len() == count as usize => parts.iter().collect::<Vec<_>>(),
        single if count == 1 => vec![single],
        _ => return Err(site.error(format!("expected {count} registers in braces"))),
    };
    match load {
        _ if kind == Type::B128 => whole(site, &address, operands[0], load),
        true if leaves_out(site, kind, &operands) => {
            decode_parts(site, &address, kind, &operands, space)
        }
        true => decode_load(site, &address, kind, &operands, space),
        false => decode_store(site, &address, kind, &operands),
    }
}

/// One register of 128 bits, which is two of 64.
fn whole(
    site: &mut Site<'_, '_, '_>,
    address: &Address,
    operand: &Operand<'_>,
    load: bool,
) -> LoadResult<()> {
    let low = match load {
        true => site.destination(operand, Type::B128)?.0,
        false => site.source_of(operand, Type::B128)?,
    };
    let slots = [address.base, low, Slot(low.0 + 2)];
    let (run, family) = match load {
        true => (load_two::<u64>(site.host()), Family::Load),
        false => (store_two::<u64>(site.host()), Family::Store),
    };
    let detail = address.detail | 8 << FREE_SHIFT;
    site.emit(Encoded { detail, number: address.offset, ..Encoded::new(run, family, &slots) })
}

/// Not all bytes of a load are used.
fn leaves_out(site: &Site<'_, '_, '_>, kind: Type, operands: &[&Operand<'_>]) -> bool {
    let all = (1u64 << (kind.bytes() * operands.len() as u32)) - 1;
    site.instruction.used_bytes.is_some_and(|mask| u64::from(mask) & all != all)
}

/// A load of several elements that nvcc has put together with what lies between or behind them: each by itself, and
/// of the last no more than is used. The rest may lie outside, be unwritten or be somebody else's.
fn decode_parts(
    site: &mut Site<'_, '_, '_>,
    address: &Address,
    kind: Type,
    operands: &[&Operand<'_>],
    space: Space,
) -> LoadResult<()> {
    let (bytes, mask) = (kind.bytes(), site.instruction.used_bytes.unwrap_or(u32::MAX));
    let mut parts = Vec::new();
    for (index, operand) in operands.iter().enumerate() {
        let (slot, declared) = site.destination(operand, kind)?;
        let at = index as u32 * bytes;
        let used = mask >> at & ((1u64 << bytes) - 1) as u32;
        if used != 0 && !matches!(operand, Operand::Sink) {
            let width = (32 - used.leading_zeros()).next_power_of_two();
            parts.push((slot, declared.bytes().min(8), at, width));
        }
    }
    // What takes the address's place comes last.
    parts.sort_by_key(|&(slot, ..)| slot == address.base);
    for (slot, register, at, width) in parts {
        let run = pick_load(site.host(), width, 1, register);
        let run = run.ok_or_else(|| site.error(format!("a load of a {kind:?}")))?;
        let signed = if kind.is_signed() && width == bytes { SIGNED } else { 0 };
        let detail = address.detail | (register | signed) << FREE_SHIFT;
        let number = address.offset.wrapping_add(i64::from(at));
        let family = if space == Space::Parameter { Family::Move } else { Family::Load };
        let slots = [address.base, slot];
        site.emit(Encoded { detail, number, ..Encoded::new(run, family, &slots) })?;
    }
    Ok(())
}

fn decode_load(
    site: &mut Site<'_, '_, '_>,
    address: &Address,
    kind: Type,
    operands: &[&Operand<'_>],
    space: Space,
) -> LoadResult<()> {
    let mut slots = vec![address.base];
    let mut widths = Vec::new();
    for operand in operands {
        let (slot, declared) = site.destination(operand, kind)?;
        slots.push(slot);
        if !matches!(operand, Operand::Sink) {
            widths.push(declared.bytes().min(8));
        }
    }
    widths.dedup();
    let bytes = match widths[..] {
        [] => kind.bytes(),
        [bytes]
            if bytes == kind.bytes()
                || slots.len()
                    == 1 + operands.iter().filter(|o| !matches!(o, Operand::Sink)).count() =>
        {
            bytes
        }
        _ => {
            return Err(site
                .error("registers of different sizes, or _ among registers wider than the type"));
        }
    };
    let run = pick_load(site.host(), kind.bytes(), operands.len(), bytes);
    let Some(run) = run else {
        return Err(site.error(format!("a load of {} {kind:?}", operands.len())));
    };
    let signed = if kind.is_signed() { SIGNED } else { 0 };
    let detail = address.detail | (bytes | signed) << FREE_SHIFT;
    let family = if space == Space::Parameter { Family::Move } else { Family::Load };
    site.emit(Encoded { detail, number: address.offset, ..Encoded::new(run, family, &slots) })
}

fn decode_store(
    site: &mut Site<'_, '_, '_>,
    address: &Address,
    kind: Type,
    operands: &[&Operand<'_>],
) -> LoadResult<()> {
    let mut slots = vec![address.base];
    for operand in operands {
        slots.push(stored(site, operand, kind)?);
    }
    let run = pick_store(site.host(), kind.bytes(), operands.len());
    let Some(run) = run else {
        return Err(site.error(format!("a store of {} {kind:?}", operands.len())));
    };
    site.emit(Encoded {
        detail: address.detail,
        number: address.offset,
        ..Encoded::new(run, Family::Store, &slots)
    })
}

/// The register to store: of a 64-bit one that is too wide, its low half.
fn stored(site: &mut Site<'_, '_, '_>, operand: &Operand<'_>, kind: Type) -> LoadResult<Slot> {
    match site.declared(operand) {
        Some(declared) if declared.bytes() == 8 && kind.bytes() < 8 => {
            let wide = site.source_of(operand, declared)?;
            let low = site.destination(&Operand::Sink, Type::B32)?.0;
            let run = unary::<LowHalf, u64, u32>(site.host());
            site.emit(Encoded::new(run, Family::Move, &[low, wide]))?;
            Ok(low)
        }
        _ => site.source_of(operand, kind),
    }
}

struct LowHalf;

impl Unary<u64, u32> for LowHalf {
    #[inline(always)]
    fn of(a: u64) -> u32 {
        a as u32
    }
}

/// A number in memory and in registers.
pub trait Cell: Element + Into<u64> + 'static {
    fn of(bits: u64) -> Self;
    /// A register's lanes as they are; the register has exactly this width (or one row for narrow ones).
    fn read(turn: &Turn<'_>, slot: Slot) -> [Self; LANES];
    fn write(turn: &mut Turn<'_>, slot: Slot, mask: u32, values: &[Self; LANES]);
}

macro_rules! cells {
    ($($t:ty),*) => {$(
        impl Cell for $t {
            #[inline(always)]
            fn of(bits: u64) -> Self {
                bits as $t
            }
            #[inline(always)]
            fn read(turn: &Turn<'_>, slot: Slot) -> [Self; LANES] {
                turn.registers.get::<$t>(slot)
            }
            #[inline(always)]
            fn write(turn: &mut Turn<'_>, slot: Slot, mask: u32, values: &[Self; LANES]) {
                turn.registers.set::<$t>(slot, mask, values);
            }
        }
    )*};
}

cells!(u8, u16, u32, u64);

macro_rules! transfers {
    ($($load:ident, $store:ident: $n:literal;)*) => {$(
        crate::run! {
            /// Into registers of the type's own width.
            fn $load<T: Cell>(turn, instruction, mask) {
                let (space, how) = manner(instruction);
                let addresses = addresses(turn, instruction);
                let values = turn.load::<T, $n>(space, mask, &addresses, how)?;
                for (slot, values) in instruction.operands[1..].iter().zip(&values) {
                    T::write(turn, *slot, mask, values);
                }
                if how.strength != Strength::Weak {
                    let seen = values.into_iter().flatten().map(Into::into);
                    return Ok(turn.after_strong_read(&addresses, seen));
                }
                Ok(Flow::Next)
            }
        }
        crate::run! {
            fn $store<T: Cell>(turn, instruction, mask) {
                let (space, how) = manner(instruction);
                let addresses = addresses(turn, instruction);
                let values: [[T; LANES]; $n] = std::array::from_fn(|i| T::read(turn, instruction.operands[1 + i]));
                turn.store(space, mask, &addresses, &values, how)?;
                *turn.polled = 0;
                Ok(Flow::Next)
            }
        }
    )*};
}

transfers! {
    load_one, store_one: 1;
    load_two, store_two: 2;
    load_four, store_four: 4;
}

macro_rules! wider {
    ($($load:ident: $n:literal;)*) => {$(
        crate::run! {
            /// Into registers wider than the type: zeros or copies of the sign above.
            fn $load<T: Cell>(turn, instruction, mask) {
                let (space, how) = manner(instruction);
                let addresses = addresses(turn, instruction);
                let values = turn.load::<T, $n>(space, mask, &addresses, how)?;
                for (slot, values) in instruction.operands[1..].iter().zip(&values) {
                    widen(turn, instruction, *slot, mask, values);
                }
                if how.strength != Strength::Weak {
                    let seen = values.into_iter().flatten().map(Into::into);
                    return Ok(turn.after_strong_read(&addresses, seen));
                }
                Ok(Flow::Next)
            }
        }
    )*};
}

wider! {
    load_wider_one: 1;
    load_wider_two: 2;
    load_wider_four: 4;
}

#[inline(always)]
fn widen<T: Cell>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    slot: Slot,
    mask: u32,
    values: &[T; LANES],
) {
    let detail = instruction.detail >> FREE_SHIFT;
    let shift = 64 - 8 * T::BYTES as u32;
    let wide = values.map(|value| {
        let bits: u64 = value.into();
        if detail & SIGNED != 0 { ((bits << shift) as i64 >> shift) as u64 } else { bits }
    });
    match detail & 15 {
        8 => turn.registers.set::<u64>(slot, mask, &wide),
        4 => turn.registers.set::<u32>(slot, mask, &wide.map(|x| x as u32)),
        2 => turn.registers.set::<u16>(slot, mask, &wide.map(|x| x as u16)),
        _ => turn.registers.set::<u8>(slot, mask, &wide.map(|x| x as u8)),
    }
}

fn pick_load(host: Host, bytes: u32, count: usize, register: u32) -> Option<Run> {
    fn exact<T: Cell>(host: Host, count: usize) -> Option<Run> {
        match count {
            1 => Some(load_one::<T>(host)),
            2 => Some(load_two::<T>(host)),
            4 if T::BYTES <= 4 => Some(load_four::<T>(host)),
            _ => None,
        }
    }
    fn wider<T: Cell>(host: Host, count: usize) -> Option<Run> {
        match count {
            1 => Some(load_wider_one::<T>(host)),
            2 => Some(load_wider_two::<T>(host)),
            4 => Some(load_wider_four::<T>(host)),
            _ => None,
        }
    }
    match (bytes, register) {
        (1, 1) => exact::<u8>(host, count),
        (2, 2) => exact::<u16>(host, count),
        (4, 4) => exact::<u32>(host, count),
        (8, 8) => exact::<u64>(host, count),
        (1, _) => wider::<u8>(host, count),
        (2, _) => wider::<u16>(host, count),
        (4, _) => wider::<u32>(host, count),
        _ => None,
    }
}

fn pick_store(host: Host, bytes: u32, count: usize) -> Option<Run> {
    fn of<T: Cell>(host: Host, count: usize) -> Option<Run> {
        match count {
            1 => Some(store_one::<T>(host)),
            2 => Some(store_two::<T>(host)),
            4 if T::BYTES <= 4 => Some(store_four::<T>(host)),
            _ => None,
        }
    }
    match bytes {
        1 => of::<u8>(host, count),
        2 => of::<u16>(host, count),
        4 => of::<u32>(host, count),
        8 => of::<u64>(host, count),
        _ => None,
    }
}
