//! `mov`: registers, constants, addresses, packing and unpacking, and the special registers that change while a warp runs.

use crate::decode::{Encoded, Site};
use crate::error::{Checked, LoadResult};
use crate::program::{Family, Instruction};
use crate::registers::{LANES, Slot};
use crate::shapes::{Unary, unary};
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};

struct Same;

macro_rules! same {
    ($($t:ty),*) => {$(
        impl Unary<$t, $t> for Same {
            #[inline(always)]
            fn of(a: $t) -> $t {
                a
            }
        }
    )*};
}

same!(u16, u32, u64);

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(2)?;
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if kind == Type::Pred {
        let to = site.operand(0)?;
        let to = site.predicate_result(to)?;
        if let Operand::Special("%is_explicit_cluster") = site.operand(1)? {
            let never = site.predicate_constant(false);
            return site.emit(Encoded::new(move_predicate, Family::Logic, &[to, never]));
        }
        let (from, negated) = site.predicate_source(1)?;
        let run = if negated { move_negated } else { move_predicate };
        return site.emit(Encoded::new(run, Family::Logic, &[to, from]));
    }
    match (site.operand(0)?, site.operand(1)?) {
        _ if kind == Type::B128 => move_whole(site),
        (Operand::Vector(parts), _) => unpack(site, parts, kind),
        (_, Operand::Vector(parts)) => pack(site, parts, kind),
        (_, Operand::Special(name)) if moving(name).is_some() => {
            let to = site.result(0, kind)?;
            let run = moving(name).expect("checked by the guard");
            site.emit(Encoded {
                detail: u32::from(kind.bytes() == 8),
                ..Encoded::new(run, Family::Special, &[to])
            })
        }
        _ => {
            let to = site.result(0, kind)?;
            let from = site.source(1, kind)?;
            let run = match kind.bytes() {
                8 => unary::<Same, u64, u64>(site.host()),
                4 => unary::<Same, u32, u32>(site.host()),
                2 => unary::<Same, u16, u16>(site.host()),
                _ => return Err(site.error(format!("mov of a {kind:?}"))),
            };
            site.emit(Encoded::new(run, Family::Move, &[to, from]))
        }
    }
}

/// Parts of equal width make up the whole.
fn part(site: &Site<'_, '_, '_>, parts: usize, kind: Type) -> LoadResult<Type> {
    match (kind.bytes(), parts) {
        (8, 2) => Ok(Type::B32),
        (8, 4) | (4, 2) => Ok(Type::B16),
        (4, 4) | (2, 2) => Ok(Type::B8),
        _ => Err(site.error(format!("a {kind:?} of {parts} parts"))),
    }
}

/// `mov.b128`: both halves of registers, or of pairs in braces.
fn move_whole(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let halves = |site: &mut Site<'_, '_, '_>, index: usize| match site.operand(index)? {
        Operand::Vector(parts) if parts.len() == 2 => {
            let half = |site: &mut Site<'_, '_, '_>, part: &Operand<'_>| match index {
                0 => site.destination(part, Type::B64).map(|(slot, _)| slot),
                _ => site.source_of(part, Type::B64),
            };
            Ok([half(site, &parts[0])?, half(site, &parts[1])?])
        }
        Operand::Vector(parts) => Err(site.error(format!("a B128 of {} parts", parts.len()))),
        operand => {
            let low = match index {
                0 => site.destination(operand, Type::B128)?.0,
                _ => site.source_of(operand, Type::B128)?,
            };
            Ok([low, Slot(low.0 + 2)])
        }
    };
    let ([to, to_high], [from, from_high]) = (halves(site, 0)?, halves(site, 1)?);
    // The lower half may be a source of the upper one: `mov.b128 {a, b}, {b, a}` has both before it writes.
    let kept = site.destination(&Operand::Sink, Type::B64)?.0;
    let run = unary::<Same, u64, u64>(site.host());
    for (to, from) in [(kept, from_high), (to, from), (to_high, kept)] {
        site.emit(Encoded::new(run, Family::Move, &[to, from]))?;
    }
    Ok(())
}

fn pack(site: &mut Site<'_, '_, '_>, parts: &[Operand<'_>], kind: Type) -> LoadResult<()> {
    let part = part(site, parts.len(), kind)?;
    let to = site.result(0, kind)?;
    let list = parts.iter().map(|p| site.source_of(p, part)).collect::<LoadResult<Vec<_>>>()?;
    let run = if kind.bytes() == 8 { pack_wide(site.host()) } else { pack_narrow(site.host()) };
    site.emit(Encoded { list, detail: part.bytes() * 8, ..Encoded::new(run, Family::Move, &[to]) })
}

fn unpack(site: &mut Site<'_, '_, '_>, parts: &[Operand<'_>], kind: Type) -> LoadResult<()> {
    let part = part(site, parts.len(), kind)?;
    let from = site.source(1, kind)?;
    let mut list = Vec::new();
    for operand in parts {
        list.push(site.destination(operand, part)?.0);
    }
    let run = if kind.bytes() == 8 { unpack_wide(site.host()) } else { unpack_narrow(site.host()) };
    site.emit(Encoded {
        list,
        detail: part.bytes() * 8,
        ..Encoded::new(run, Family::Move, &[from])
    })
}

crate::run! {
    fn pack_wide(turn, instruction, mask) {
        let mut out = [0u64; LANES];
        for (i, &slot) in turn.launch.list(instruction.list).iter().enumerate() {
            let value = turn.registers.get::<u32>(slot);
            let (shift, keep) = (i as u32 * instruction.detail, (1u64 << instruction.detail) - 1);
            for lane in 0..LANES {
                out[lane] |= (u64::from(value[lane]) & keep) << shift;
            }
        }
        turn.registers.set(instruction.operands[0], mask, &out);
        Ok(Flow::Next)
    }
}

crate::run! {
    fn pack_narrow(turn, instruction, mask) {
        let mut out = [0u32; LANES];
        for (i, &slot) in turn.launch.list(instruction.list).iter().enumerate() {
            let value = turn.registers.get::<u32>(slot);
            let (shift, keep) = (i as u32 * instruction.detail, (1u32 << instruction.detail) - 1);
            for lane in 0..LANES {
                out[lane] |= (value[lane] & keep) << shift;
            }
        }
        turn.registers.set(instruction.operands[0], mask, &out);
        Ok(Flow::Next)
    }
}

crate::run! {
    fn unpack_wide(turn, instruction, mask) {
        let value = turn.registers.get::<u64>(instruction.operands[0]);
        for (i, &slot) in turn.launch.list(instruction.list).iter().enumerate() {
            let (shift, keep) = (i as u32 * instruction.detail, (1u64 << instruction.detail) - 1);
            let mut out = [0u32; LANES];
            for lane in 0..LANES {
                out[lane] = ((value[lane] >> shift) & keep) as u32;
            }
            turn.registers.set(slot, mask, &out);
        }
        Ok(Flow::Next)
    }
}

crate::run! {
    fn unpack_narrow(turn, instruction, mask) {
        let value = turn.registers.get::<u32>(instruction.operands[0]);
        for (i, &slot) in turn.launch.list(instruction.list).iter().enumerate() {
            let (shift, keep) = (i as u32 * instruction.detail, (1u32 << instruction.detail) - 1);
            let mut out = [0u32; LANES];
            for lane in 0..LANES {
                out[lane] = (value[lane] >> shift) & keep;
            }
            turn.registers.set(slot, mask, &out);
        }
        Ok(Flow::Next)
    }
}

fn move_predicate(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let lanes = turn.registers.predicate(instruction.operands[1]);
    turn.registers.set_predicate(instruction.operands[0], mask, lanes);
    Ok(Flow::Next)
}

fn move_negated(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let lanes = !turn.registers.predicate(instruction.operands[1]);
    turn.registers.set_predicate(instruction.operands[0], mask, lanes);
    Ok(Flow::Next)
}

/// The special registers whose value changes while a warp runs.
fn moving(name: &str) -> Option<crate::program::Run> {
    Some(match name {
        "%clock" | "%clock64" | "%clock_hi" | "%globaltimer" | "%globaltimer_lo"
        | "%globaltimer_hi" => clock,
        // There is one grid, and it is no graph's.
        "%gridid" | "%current_graph_exec" => nothing,
        _ => return None,
    })
}

fn nothing(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    match instruction.detail {
        0 => turn.registers.set(instruction.operands[0], mask, &[0u32; LANES]),
        _ => turn.registers.set(instruction.operands[0], mask, &[0u64; LANES]),
    }
    Ok(Flow::Next)
}

/// Clocks count this warp's instructions: the same on every run.
fn clock(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let ticks = turn.instructions;
    match instruction.detail {
        0 => turn.registers.set(instruction.operands[0], mask, &[ticks as u32; LANES]),
        _ => turn.registers.set(instruction.operands[0], mask, &[ticks; LANES]),
    }
    Ok(Flow::Next)
}
