//! `mbarrier`: objects in shared memory at which threads and copies arrive, phase by phase.

use super::copy_async::deliver;
use super::pointer::{self, Pointer, shared_addresses};
use crate::asynchronous::{Effect, MOST, Mbarrier, Place, pending_of, phase_of};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::{Point, Scope, Strength};
use crate::program::{Family, Instruction, Run};
use crate::registers::LANES;
use crate::syntax::{Space, Type};
use crate::turn::{Flow, How, Turn};

/// Operands: address, a number (count, bytes, state or parity), the result.
const NUMBER: usize = pointer::SLOTS;
const RESULT: usize = pointer::SLOTS + 1;
/// `detail` above the address.
const RELAXED: u32 = 1 << pointer::BITS;
const DROP: u32 = 2 << pointer::BITS;
const NO_COMPLETE: u32 = 4 << pointer::BITS;
const EXPECT: u32 = 8 << pointer::BITS;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let name = modifiers.rest().first().copied().unwrap_or_default();
    modifiers.take(name);
    let relaxed = modifiers
        .take_one(|m| ["acquire", "release", "relaxed"].contains(&m).then_some(m == "relaxed"));
    modifiers.take_one(|m| ["cta", "cluster"].contains(&m).then_some(()));
    let space = modifiers.take_one(|m| {
        ["shared", "shared::cta", "shared::cluster"].contains(&m).then_some(Space::Shared)
    });
    let space = space.unwrap_or(Space::Generic);
    let detail = if relaxed == Some(true) { RELAXED } else { 0 };
    if !modifiers.take("b64") {
        return Err(site.error("expected .b64"));
    }
    match name {
        "init" => plain(site, modifiers, space, run_init, 2),
        "inval" => plain(site, modifiers, space, run_invalidate, 1),
        "expect_tx" => plain(site, modifiers, space, run_expect, 2),
        "complete_tx" => plain(site, modifiers, space, run_complete, 2),
        "arrive" => arrive(site, modifiers, space, detail),
        "arrive_drop" => arrive(site, modifiers, space, detail | DROP),
        "test_wait" | "try_wait" => wait(site, modifiers, space, detail),
        "pending_count" => pending_count(site, modifiers),
        other => Err(site.error(format!("mbarrier.{other} is not known"))),
    }
}

/// An address and perhaps a number.
fn plain(
    site: &mut Site<'_, '_, '_>,
    modifiers: Modifiers<'_>,
    space: Space,
    run: Run,
    operands: usize,
) -> LoadResult<()> {
    modifiers.finish()?;
    site.expect_operands(operands)?;
    let pointer = Pointer::decode(site, 0, space)?;
    let mut slots = pointer.slots.to_vec();
    if operands == 2 {
        slots.push(site.source(1, Type::U32)?);
    }
    site.emit(Encoded { detail: pointer.flags, ..Encoded::new(run, Family::Barrier, &slots) })
}

/// `mbarrier.arrive{_drop}{.expect_tx|.noComplete} state, [address]{, count or bytes}`.
fn arrive(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    space: Space,
    mut detail: u32,
) -> LoadResult<()> {
    if modifiers.take("expect_tx") {
        detail |= EXPECT;
    }
    if modifiers.take("noComplete") {
        detail |= NO_COMPLETE;
    }
    modifiers.finish()?;
    let pointer = Pointer::decode(site, 1, space)?;
    let number = match site.instruction.operands.len() {
        2 if detail & (EXPECT | NO_COMPLETE) == 0 => site.constant(1, false),
        3 => site.source(2, Type::U32)?,
        found => return Err(site.error(format!("{found} operands"))),
    };
    let state = site.result(0, Type::B64)?;
    let slots = [pointer.slots[0], pointer.slots[1], number, state];
    let detail = detail | pointer.flags;
    site.emit(Encoded { detail, ..Encoded::new(run_arrive, Family::Barrier, &slots) })
}

/// `mbarrier.test_wait|try_wait{.parity} p, [address], state or parity{, time}`.
fn wait(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    space: Space,
    detail: u32,
) -> LoadResult<()> {
    let parity = modifiers.take("parity");
    modifiers.finish()?;
    let count = site.instruction.operands.len();
    if !(count == 3 || count == 4 && site.instruction.parts.contains(&"try_wait")) {
        return Err(site.error(format!("{count} operands")));
    }
    let pointer = Pointer::decode(site, 1, space)?;
    let (run, kind): (Run, _) =
        if parity { (run_wait_parity, Type::U32) } else { (run_wait_state, Type::B64) };
    let number = site.source(2, kind)?;
    let holds = site.predicate_result(site.operand(0)?)?;
    let slots = [pointer.slots[0], pointer.slots[1], number, holds];
    let detail = detail | pointer.flags;
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Barrier, &slots) })
}

fn pending_count(site: &mut Site<'_, '_, '_>, modifiers: Modifiers<'_>) -> LoadResult<()> {
    modifiers.finish()?;
    site.expect_operands(2)?;
    let (to, state) = (site.result(0, Type::U32)?, site.source(1, Type::B64)?);
    site.emit(Encoded::new(run_pending_count, Family::Barrier, &[to, state]))
}

fn run_pending_count(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let states = turn.registers.get::<u64>(instruction.operands[1]);
    turn.registers.set(instruction.operands[0], mask, &states.map(pending_of));
    Ok(Flow::Next)
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

fn broken<T>(lane: usize, address: u64, message: String) -> Checked<T> {
    Err(Box::new(Violation::at(Rule::Asynchronous, lane as u32, address, message)))
}

fn run_init(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let addresses = shared_addresses(turn, instruction, mask, 0, 0)?;
    let counts = turn.registers.get::<u32>(instruction.operands[NUMBER]);
    let bits = counts.map(|count| Mbarrier::new(count & MOST).bits());
    turn.store(Space::Shared, mask, &addresses, &[bits], How::default())?;
    for lane in lanes(mask) {
        let (address, count) = (addresses[lane], counts[lane]);
        if !(1..=MOST).contains(&count) {
            return broken(lane, address, format!("an mbarrier for {count} arrivals; 1 to {MOST}"));
        }
        let barrier = Mbarrier::new(count);
        if turn.block.asynchronous.mbarriers.insert(address, barrier).is_some() {
            let message =
                "an mbarrier lies here already; mbarrier.inval has to come first".to_owned();
            return broken(lane, address, message);
        }
    }
    Ok(Flow::Next)
}

fn run_invalidate(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let addresses = checked(turn, instruction, mask, How::default())?;
    for lane in lanes(mask) {
        let address = addresses[lane];
        let barrier = turn.block.asynchronous.mbarriers.remove(&address);
        if barrier.is_none_or(|barrier| barrier.has_effects()) {
            let message = "an mbarrier that copies have yet to arrive at, or that is gone already";
            return broken(lane, address, message.to_owned());
        }
        turn.shared_poison(lane, address, 8)?;
        if let Some(order) = &mut turn.block.order {
            order.forget(Point::Shared(address));
        }
    }
    Ok(Flow::Next)
}

/// The lanes' addresses, at each of which an mbarrier lies as the machine left it. `how` orders the threads.
pub fn checked(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    how: How,
) -> Checked<[u64; LANES]> {
    let addresses = shared_addresses(turn, instruction, mask, 0, 0)?;
    check(turn, mask, &addresses, how)?;
    Ok(addresses)
}

/// The same for addresses that are known.
///
/// # Errors
/// There is none, or its bytes were overwritten.
pub fn check(turn: &mut Turn<'_>, mask: u32, addresses: &[u64; LANES], how: How) -> Checked<()> {
    let strength = if how.strength == Strength::Weak { Strength::Relaxed } else { how.strength };
    let how = How { strength, scope: Scope::Block };
    let found = match strength {
        Strength::Relaxed => turn.load::<u64, 1>(Space::Shared, mask, addresses, how)?[0],
        _ => turn.atomic::<u64>(Space::Shared, mask, addresses, how, false, &mut |_, bits| bits)?,
    };
    for lane in lanes(mask) {
        let address = addresses[lane];
        let Some(barrier) = turn.block.asynchronous.mbarriers.get(&address) else {
            return broken(lane, address, "no mbarrier was initialised here".to_owned());
        };
        if barrier.bits() != found[lane] {
            return broken(lane, address, "the mbarrier here was overwritten".to_owned());
        }
    }
    Ok(())
}

/// Changes the mbarrier at `address`; the state before comes back.
fn change(
    turn: &mut Turn<'_>,
    lane: usize,
    address: u64,
    f: impl FnOnce(&mut Mbarrier) -> Result<(), String>,
) -> Checked<u64> {
    let Some(barrier) = turn.block.asynchronous.mbarriers.get_mut(&address) else {
        return broken(lane, address, "no mbarrier was initialised here".to_owned());
    };
    let before = barrier.bits();
    if let Err(message) = f(barrier) {
        return broken(lane, address, message);
    }
    let bits = barrier.bits();
    turn.block.shared.deliver(lane, address, &bits.to_le_bytes())?;
    Ok(before)
}

fn run_arrive(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let detail = instruction.detail;
    let strength = if detail & RELAXED != 0 { Strength::Relaxed } else { Strength::Release };
    let addresses = checked(turn, instruction, mask, How { strength, scope: Scope::Block })?;
    let numbers = turn.registers.get::<u32>(instruction.operands[NUMBER]);
    let mut states = [0; LANES];
    for lane in lanes(mask) {
        states[lane] = change(turn, lane, addresses[lane], |barrier| {
            let count = if detail & EXPECT != 0 {
                barrier.expect_bytes(i64::from(numbers[lane]))?;
                1
            } else {
                numbers[lane]
            };
            if !(1..=MOST).contains(&count) {
                return Err(format!("{count} arrivals; 1 to {MOST}"));
            }
            if detail & DROP != 0 {
                barrier.drop(count)?;
            }
            match detail & NO_COMPLETE {
                0 => barrier.arrive(count),
                _ => barrier.arrive_without_end(count),
            }
        })?;
    }
    turn.registers.set(instruction.operands[RESULT], mask, &states);
    Ok(Flow::Next)
}

fn run_expect(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    transact(turn, instruction, mask, 1)
}

fn run_complete(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    transact(turn, instruction, mask, -1)
}

fn transact(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, sign: i64) -> Checked<Flow> {
    let addresses = checked(turn, instruction, mask, How::default())?;
    let bytes = turn.registers.get::<u32>(instruction.operands[NUMBER]);
    for lane in lanes(mask) {
        let bytes = sign * i64::from(bytes[lane]);
        change(turn, lane, addresses[lane], |barrier| barrier.expect_bytes(bytes))?;
    }
    Ok(Flow::Next)
}

fn run_wait_parity(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let parities = turn.registers.get::<u32>(instruction.operands[NUMBER]);
    if let Some(lane) = lanes(mask).find(|&lane| parities[lane] > 1) {
        let message = format!("parity {}; 0 or 1", parities[lane]);
        return Err(Box::new(Violation::by(Rule::Asynchronous, lane as u32, message)));
    }
    poll(turn, instruction, mask, &parities)
}

fn run_wait_state(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let states = turn.registers.get::<u64>(instruction.operands[NUMBER]);
    let mut phases = [0; LANES];
    for lane in lanes(mask) {
        let Some(phase) = phase_of(states[lane]) else {
            let message = format!("0x{:x} is no state of an mbarrier", states[lane]);
            return Err(Box::new(Violation::by(Rule::Asynchronous, lane as u32, message)));
        };
        phases[lane] = phase;
    }
    poll(turn, instruction, mask, &phases)
}

/// Whether the phases have ended. Copies that a phase waits for arrive now, not before.
fn poll(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    phases: &[u32; LANES],
) -> Checked<Flow> {
    let addresses = checked(turn, instruction, mask, How::default())?;
    let mut ended = 0;
    for lane in lanes(mask) {
        if settle(turn, lane, addresses[lane], phases[lane])? {
            ended |= 1 << lane;
        }
    }
    turn.registers.set_predicate(instruction.operands[RESULT], mask, ended);
    if instruction.detail & RELAXED == 0
        && let Some(order) = &mut turn.block.order
    {
        for lane in lanes(ended) {
            order.acquire(Point::Shared(addresses[lane]), turn.warp, 1 << lane);
        }
    }
    Ok(if ended == mask { Flow::Next } else { Flow::Poll })
}

/// Lets copies arrive one by one until the phase ends or nothing is left that could end it.
fn settle(turn: &mut Turn<'_>, lane: usize, address: u64, phase: u32) -> Checked<bool> {
    loop {
        let barrier = turn.block.asynchronous.mbarriers.get_mut(&address);
        let Some(barrier) = barrier else { return Ok(false) };
        if barrier.phase() != phase {
            return Ok(true);
        }
        match barrier.take_effect() {
            Some(effect) => happen(turn, lane, address, effect)?,
            None => return Ok(false),
        }
    }
}

/// An effect of the mbarrier at `address` comes about; `lane` polled.
fn happen(turn: &mut Turn<'_>, lane: usize, address: u64, effect: Effect) -> Checked<()> {
    let done = match effect {
        Effect::Load(load) => {
            if turn.launch.options.adversarial.is_some() {
                super::bulk::read_again(turn, lane, &load)?;
            }
            turn.block.shared.deliver(lane, load.to, &load.bytes)?;
            let bytes = load.bytes.len() as i64;
            change(turn, lane, address, |barrier| barrier.expect_bytes(-bytes))?;
            load.done
        }
        Effect::Copies { warp, lanes, until, done } => {
            let first = 1 << lanes.trailing_zeros();
            let copies = &mut turn.block.asynchronous.copies[warp as usize];
            let due = copies.arrive_until(first, until);
            deliver(turn, warp, due, false)?;
            change(turn, lane, address, |barrier| {
                if lanes != first {
                    let (lanes, done) = (lanes & !first, done.clone());
                    barrier.put_back(Effect::Copies { warp, lanes, until, done });
                }
                barrier.arrive(1)
            })?;
            done
        }
    };
    if let (Some(order), Some(done)) = (&mut turn.block.order, done) {
        order.release_snapshot(Point::Shared(address), &done);
    }
    Ok(())
}

/// `cp.async.mbarrier.arrive{.noinc}.b64 [address]`: the lane arrives once all its `cp.async` so far have.
pub fn arrive_after_copies(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
) -> LoadResult<()> {
    if !modifiers.take("arrive") {
        return Err(site.error("expected .arrive"));
    }
    let counted = modifiers.take("noinc");
    let space = modifiers
        .take_one(|m| ["shared", "shared::cta"].contains(&m).then_some(Space::Shared))
        .unwrap_or(Space::Generic);
    if !modifiers.take("b64") {
        return Err(site.error("expected .b64"));
    }
    let run: Run = if counted { run_after_copies::<false> } else { run_after_copies::<true> };
    plain(site, modifiers, space, run, 1)
}

fn run_after_copies<const MORE: bool>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let addresses = checked(turn, instruction, mask, How::default())?;
    let warp = turn.warp;
    let until = turn.block.asynchronous.copies[warp as usize].started();
    for lane in lanes(mask) {
        let lanes = 1 << lane;
        let done = turn.block.order.as_mut().map(|order| order.snapshot(warp, lanes));
        change(turn, lane, addresses[lane], |barrier| {
            if MORE {
                barrier.expect_arrival()?;
            }
            barrier.add(Effect::Copies { warp, lanes, until, done });
            Ok(())
        })?;
    }
    Ok(Flow::Next)
}

/// Where a bulk copy reads, in words.
pub fn describe(place: &Place) -> String {
    match place {
        Place::Row(address) => format!("0x{address:x}"),
        Place::Tile(map, at) => format!("the tensor at 0x{:x}, {:?}", map.address, &at[..map.rank]),
    }
}
