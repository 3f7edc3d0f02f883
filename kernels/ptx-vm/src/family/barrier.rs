//! Barriers of the block (`bar`, `barrier`: sync, arrive, red) and of the warp (`bar.warp.sync`).

use super::exchange::in_groups;
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Point;
use crate::program::{Family, Instruction, Run};
use crate::registers::{LANES, Slot};
use crate::syntax::Type;
use crate::turn::{Flow, Turn};

/// `detail` bits of barrier instructions.
const COUNTED: u32 = 1;
const ARRIVE: u32 = 2;
const NEGATED: u32 = 4;
/// All lanes of the warp come together.
const ALIGNED: u32 = 8;
/// Operands of every block barrier: result, identity, thread count, predicate.
const RESULT: usize = 0;
const IDENTITY: usize = 1;
const COUNT: usize = 2;
const PREDICATE: usize = 3;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    // `bar` is the old name of `barrier.aligned`.
    let aligned = modifiers.take("aligned") || site.opcode() == "bar";
    let aligned = if aligned { ALIGNED } else { 0 };
    modifiers.take("cta");
    if modifiers.take("warp") {
        return warp_sync(site, modifiers);
    }
    if modifiers.take("cluster") {
        return super::cluster::barrier(site, modifiers, aligned != 0);
    }
    match modifiers.rest().first().copied() {
        Some("sync") if modifiers.take("sync") => {
            modifiers.finish()?;
            wait(site, 0, aligned)
        }
        Some("arrive") if modifiers.take("arrive") => {
            modifiers.finish()?;
            wait(site, 0, ARRIVE | aligned)
        }
        Some("red") if modifiers.take("red") => reduce(site, modifiers, aligned),
        _ => Err(site.error("expected sync, arrive or red")),
    }
}

fn warp_sync(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    modifiers.take("sync");
    modifiers.finish()?;
    site.expect_operands(1)?;
    let members = site.source(0, Type::B32)?;
    site.emit(Encoded::new(sync_warp, Family::Barrier, &[members]))
}

/// Identity and count from operand `first` on.
fn numbers(
    site: &mut Site<'_, '_, '_>,
    first: usize,
    last: usize,
) -> LoadResult<(Slot, Slot, u32)> {
    let identity = site.source(first, Type::U32)?;
    match last > first {
        true => Ok((identity, site.source(first + 1, Type::U32)?, COUNTED)),
        false => Ok((identity, identity, 0)),
    }
}

fn wait(site: &mut Site<'_, '_, '_>, first: usize, kind: u32) -> LoadResult<()> {
    let count = site.instruction.operands.len();
    if count == 0 || count > 2 || (kind & ARRIVE != 0 && count != 2) {
        return Err(
            site.error(format!("a barrier and its number of threads, found {count} operands"))
        );
    }
    let (identity, threads, counted) = numbers(site, first, count - 1)?;
    let encoded = Encoded::new(sync_block, Family::Barrier, &[identity, identity, threads]);
    site.emit(Encoded { detail: kind | counted, ..encoded })
}

fn reduce(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    aligned: u32,
) -> LoadResult<()> {
    let operation = modifiers.take_one(|m| ["popc", "and", "or"].iter().position(|o| *o == m));
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let count = site.instruction.operands.len();
    if !(3..=4).contains(&count) {
        return Err(
            site.error(format!("result, barrier, threads, predicate; found {count} operands"))
        );
    }
    let (identity, threads, counted) = numbers(site, 1, count - 2)?;
    let (predicate, negated) = site.predicate_source(count - 1)?;
    let (run, result): (Run, _) = match (operation, kind) {
        (Some(0), Type::U32) => (reduce_count, site.result(0, Type::U32)?),
        (Some(1), Type::Pred) => (reduce_and, site.predicate_result(site.operand(0)?)?),
        (Some(2), Type::Pred) => (reduce_or, site.predicate_result(site.operand(0)?)?),
        _ => return Err(site.error("expected red.popc.u32, red.and.pred or red.or.pred")),
    };
    let detail = counted | aligned | if negated { NEGATED } else { 0 };
    site.emit(Encoded {
        detail,
        ..Encoded::new(run, Family::Barrier, &[result, identity, threads, predicate])
    })
}

/// Lanes of an aligned barrier wait for the others of their warp first.
fn gather(turn: &Turn<'_>, instruction: &Instruction, mask: u32) -> Option<Flow> {
    let missing = instruction.detail & ALIGNED != 0 && turn.live & !mask != 0;
    missing.then_some(Flow::Converge(turn.live))
}

/// The lanes arrive; all have to name the same barrier and the same count.
fn arrive(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, holds: u32) -> Checked<u8> {
    let first = mask.trailing_zeros() as usize;
    let broken = |lane: usize, message: String| {
        Err(Box::new(Violation::by(Rule::Barrier, lane as u32, message)))
    };
    let identities = turn.registers.get::<u32>(instruction.operands[IDENTITY]);
    let counts = turn.registers.get::<u32>(instruction.operands[COUNT]);
    let (id, counted) = (identities[first], instruction.detail & COUNTED != 0);
    let differs =
        |lane: &usize| identities[*lane] != id || (counted && counts[*lane] != counts[first]);
    if let Some(lane) = (0..LANES).filter(|lane| mask >> lane & 1 == 1).find(differs) {
        return broken(lane, "lanes of one warp at different barriers".to_owned());
    }
    if id >= crate::barrier::BARRIERS as u32 {
        return broken(first, format!("barrier {id}; a block has 0 to 15"));
    }
    let threads = turn.launch.threads();
    let expected = if counted { counts[first] } else { threads };
    if expected == 0 || (counted && (expected % 32 != 0 || expected > threads.next_multiple_of(32)))
    {
        return broken(
            first,
            format!(
                "a barrier for {expected} threads in a block of {threads}; a multiple of 32 is needed"
            ),
        );
    }
    turn.block.barriers.arrive(id as u8, mask, expected.min(threads), holds)?;
    if let (Some(order), ARRIVE) = (&mut turn.block.order, instruction.detail & ARRIVE) {
        order.release(Point::Barrier(id), turn.warp, mask);
    }
    Ok(id as u8)
}

fn sync_block(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = gather(turn, instruction, mask) {
        return Ok(flow);
    }
    let id = arrive(turn, instruction, mask, 0)?;
    match instruction.detail & ARRIVE {
        0 => Ok(Flow::Barrier { id, resume: false }),
        // A jump to the next instruction: the block looks whether this completed the barrier.
        _ => Ok(Flow::Jump(turn.pc + 1)),
    }
}

fn sync_warp(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    in_groups(turn, instruction.operands[0], mask, |turn, mask| {
        if let Some(order) = &mut turn.block.order {
            order.warp_sync(turn.warp, mask);
        }
        Ok(())
    })
}

fn reduced(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    write: impl FnOnce(&mut Turn<'_>, crate::barrier::Gathered),
) -> Checked<Flow> {
    if let Some(gathered) = turn.resumed {
        write(turn, gathered);
        return Ok(Flow::Next);
    }
    if let Some(flow) = gather(turn, instruction, mask) {
        return Ok(flow);
    }
    let lanes = turn.registers.predicate(instruction.operands[PREDICATE]);
    let holds = if instruction.detail & NEGATED != 0 { !lanes } else { lanes };
    let id = arrive(turn, instruction, mask, holds)?;
    Ok(Flow::Barrier { id, resume: true })
}

fn reduce_count(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    reduced(turn, instruction, mask, |turn, gathered| {
        turn.registers.set(instruction.operands[RESULT], mask, &[gathered.count; LANES]);
    })
}

fn reduce_and(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    reduced(turn, instruction, mask, |turn, gathered| {
        let lanes = if gathered.count == gathered.threads { u32::MAX } else { 0 };
        turn.registers.set_predicate(instruction.operands[RESULT], mask, lanes);
    })
}

fn reduce_or(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    reduced(turn, instruction, mask, |turn, gathered| {
        let lanes = if gathered.count > 0 { u32::MAX } else { 0 };
        turn.registers.set_predicate(instruction.operands[RESULT], mask, lanes);
    })
}
