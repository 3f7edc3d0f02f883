//! Clusters, which have one block here: `barrier.cluster mapa getctarank`.

use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Point;
use crate::program::{Family, Instruction, Run};
use crate::registers::LANES;
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};

/// Where the race detector hands on what was done before the barrier of the cluster.
const POINT: Point = Point::Barrier(crate::barrier::BARRIERS as u32);

/// `detail` of the barrier: all lanes of the warp come together; nothing is handed on (`.relaxed`).
const ALIGNED: u32 = 1;
const RELAXED: u32 = 2;

/// `barrier.cluster.arrive` and `.wait`; `.cluster` and `.aligned` are taken.
pub fn barrier(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    aligned: bool,
) -> LoadResult<()> {
    let arrive = modifiers.take("arrive");
    if !arrive && !modifiers.take("wait") {
        return Err(site.error("expected .arrive or .wait"));
    }
    let known = if arrive { ["release", "relaxed"] } else { ["acquire", "acquire"] };
    let relaxed = modifiers.take_one(|m| known.contains(&m).then_some(m == "relaxed"));
    modifiers.finish()?;
    site.expect_operands(0)?;
    let run: Run = if arrive { run_arrive } else { run_wait };
    let detail =
        if aligned { ALIGNED } else { 0 } | if relaxed == Some(true) { RELAXED } else { 0 };
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Barrier, &[]) })
}

/// `mapa d, a, rank` and `getctarank d, a`.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let map = site.opcode() == "mapa";
    let mut modifiers = site.modifiers();
    modifiers.take("shared::cluster");
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if !matches!(kind, Type::U32 | Type::U64) {
        return Err(site.wrong_type(kind));
    }
    site.expect_operands(if map { 3 } else { 2 })?;
    let wide = |operand: &Operand<'_>, site: &Site<'_, '_, '_>| {
        site.declared(operand).is_some_and(|kind| kind.bytes() == 8)
    };
    // `getctarank` says by its type what it gives; the address may have either width.
    let source = match map || !wide(site.operand(1)?, site) {
        true => site.source(1, if map { kind } else { Type::U32 })?,
        false => site.source(1, Type::U64)?,
    };
    if !map {
        let (to, zero) = (site.result(0, Type::U32)?, site.constant(0, false));
        let operands = [to, source, zero];
        return site.emit(Encoded::new(run_rank, Family::Special, &operands));
    }
    let rank = site.source(2, Type::U32)?;
    let to = site.result(0, kind)?;
    let run: Run = if kind == Type::U64 { run_map::<u64> } else { run_map::<u32> };
    site.emit(Encoded::new(run, Family::Integer, &[to, source, rank]))
}

fn run_rank(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    turn.registers.set(instruction.operands[0], mask, &[0u32; LANES]);
    Ok(Flow::Next)
}

fn run_map<T: crate::registers::Lane>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let [to, source, rank, ..] = instruction.operands;
    let ranks = turn.registers.get::<u32>(rank);
    if let Some(lane) = (0..LANES).find(|lane| mask >> lane & 1 == 1 && ranks[*lane] != 0) {
        let message = format!("block {} of a cluster of one block", ranks[lane]);
        return Err(Box::new(Violation::by(Rule::Trap, lane as u32, message)));
    }
    let addresses = turn.registers.get::<T>(source);
    turn.registers.set(to, mask, &addresses);
    Ok(Flow::Next)
}

/// Lanes of an aligned barrier wait for the others of their warp first.
fn gather(turn: &Turn<'_>, instruction: &Instruction, mask: u32) -> Option<Flow> {
    let missing = instruction.detail & ALIGNED != 0 && turn.live & !mask != 0;
    missing.then_some(Flow::Converge(turn.live))
}

fn run_arrive(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = gather(turn, instruction, mask) {
        return Ok(flow);
    }
    let Turn { block, launch, warp, .. } = turn;
    block.cluster.arrive(*warp, mask, launch.threads())?;
    if instruction.detail & RELAXED == 0
        && let Some(order) = &mut block.order
    {
        order.release(POINT, *warp, mask);
    }
    *turn.polled = 0;
    Ok(Flow::Next)
}

fn run_wait(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = gather(turn, instruction, mask) {
        return Ok(flow);
    }
    if !turn.block.cluster.wait(turn.warp, mask)? {
        return Ok(Flow::PollAgain);
    }
    if let Some(order) = &mut turn.block.order {
        order.acquire(POINT, turn.warp, mask);
    }
    Ok(Flow::Next)
}
