//! Calls of functions that stand in the code once: by their address, or of those that call themselves.
//!
//! Arguments are copied into the function's frame, which lies on the thread's stack in local memory; results are copied
//! back. A function that may be entered again keeps the registers it finds and puts them back.

use crate::decode::{Binding, Encoded, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::window;
use crate::program::{Family, Guard, Instruction, OPERANDS, Routine};
use crate::registers::{LANES, Slot};
use crate::stack::{Activation, CALL_BYTES, STACK_BYTES};
use crate::turn::{Flow, Turn};

/// A place that counts from the frame of the function that runs.
const IN_FRAME: u32 = 1 << 31;

/// Where an argument or result lies in local memory.
///
/// # Errors
/// Elsewhere.
pub fn place(site: &Site<'_, '_, '_>, binding: &Binding) -> LoadResult<Slot> {
    match *binding {
        Binding::Local(offset) => Ok(Slot(offset)),
        Binding::Stack(offset) => Ok(Slot(offset | IN_FRAME)),
        _ => Err(site.error("expected .param variables declared beside the call")),
    }
}

/// Address in local memory of a [`place`], for a lane.
pub fn address(turn: &Turn<'_>, place: Slot, lane: usize) -> u32 {
    match place.0 & IN_FRAME {
        0 => place.0,
        _ => (place.0 & !IN_FRAME) + turn.registers.row(turn.launch.kernel.frame).0[lane],
    }
}

/// Whom a call goes to.
pub enum Callee {
    /// Number of the routine.
    Routine(u32),
    /// Register with the address.
    Address(Slot),
}

/// The list holds place and size of each argument, then of each result.
///
/// # Errors
/// What is handed over is none of the body's own variables.
pub fn call(
    site: &mut Site<'_, '_, '_>,
    callee: &Callee,
    arguments: &[(Binding, u64)],
    returns: &[(Binding, u64)],
) -> LoadResult<()> {
    let mut list = Vec::new();
    for (binding, bytes) in arguments.iter().chain(returns) {
        list.extend([place(site, binding)?, Slot(*bytes as u32)]);
    }
    let encoded = match *callee {
        Callee::Routine(number) => {
            let encoded = Encoded::new(run_call, Family::Control, &[]);
            Encoded { number: i64::from(number), ..encoded }
        }
        Callee::Address(slot) => Encoded::new(run_call_by_address, Family::Control, &[slot]),
    };
    site.emit(Encoded { list, detail: arguments.len() as u32, ..encoded })
}

/// What stands behind a routine's last instruction.
pub fn leave() -> Instruction {
    let operands = [Slot::default(); OPERANDS];
    let (number, detail, list) = (0, 0, (0, 0));
    Instruction { run: run_leave, guard: Guard::Always, operands, number, detail, list }
}

/// The address of a variable in the frame: `offset` and where the frame begins.
///
/// # Errors
/// The guard is no predicate.
pub fn frame_address(
    site: &mut Site<'_, '_, '_>,
    offset: i64,
    to: Slot,
    wide: bool,
) -> LoadResult<()> {
    let encoded = Encoded::new(run_frame_address, Family::Integer, &[to]);
    site.emit(Encoded { number: offset, detail: u32::from(wide), ..encoded })
}

fn run_frame_address(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let frame = turn.registers.get::<u32>(turn.launch.kernel.frame);
    let address = frame.map(|frame| u64::from(frame).wrapping_add(instruction.number as u64));
    match instruction.detail {
        0 => turn.registers.set(instruction.operands[0], mask, &address.map(|a| a as u32)),
        _ => turn.registers.set(instruction.operands[0], mask, &address),
    }
    Ok(Flow::Next)
}

fn lanes(mask: u32) -> impl Iterator<Item = usize> {
    (0..LANES).filter(move |lane| mask >> lane & 1 == 1)
}

/// Together where all go to one place.
fn go(turn: &Turn<'_>, mask: u32) -> Flow {
    let first = turn.targets[mask.trailing_zeros() as usize % LANES];
    match lanes(mask).all(|lane| turn.targets[lane] == first) {
        true => Flow::Jump(first),
        false => Flow::JumpEach,
    }
}

fn run_call(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    for lane in lanes(mask) {
        enter(turn, instruction, lane, instruction.number as usize)?;
    }
    Ok(go(turn, mask))
}

fn run_call_by_address(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let addresses = turn.registers.get::<u64>(instruction.operands[0]);
    let kernel = turn.launch.kernel;
    for lane in lanes(mask) {
        let address = addresses[lane];
        let index = window::function(address);
        let Ok(number) = kernel.routines.binary_search_by_key(&index, |r| Some(r.function)) else {
            let message = format!("a call of 0x{address:x}: no function has this address");
            return Err(Box::new(Violation::at(Rule::OutOfBounds, lane as u32, address, message)));
        };
        enter(turn, instruction, lane, number)?;
    }
    Ok(go(turn, mask))
}

/// Whether the sizes a call hands over are those of the function.
fn agree(places: &[Slot], own: &[(u32, u32)]) -> bool {
    let sizes = places.chunks_exact(2).map(|place| place[1].0);
    sizes.eq(own.iter().map(|&(_, bytes)| bytes))
}

fn enter(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    lane: usize,
    number: usize,
) -> Checked<()> {
    let (launch, thread) = (turn.launch, turn.first_thread() + lane as u32);
    let kernel = launch.kernel;
    let routine = &kernel.routines[number];
    let (arguments, returns) =
        launch.list(instruction.list).split_at(2 * instruction.detail as usize);
    let wrong = |message: String| Err(Box::new(Violation::by(Rule::Trap, lane as u32, message)));
    if !agree(arguments, &routine.parameters) || !agree(returns, &routine.returns) {
        return wrong(format!("{} takes or gives other arguments than the call", routine.name));
    }
    let caller = turn.registers.row(kernel.frame).0[lane];
    let stack = &turn.stacks[lane];
    let frame = match stack.top() {
        Some(running) => caller + kernel.routines[running as usize].frame_bytes,
        None => kernel.stack_at,
    };
    let used = u64::from(frame - kernel.stack_at) + u64::from(routine.frame_bytes);
    let kept = 4 * (stack.kept() + routine.kept.words()) + CALL_BYTES * (stack.depth() + 1);
    if used + kept as u64 > u64::from(STACK_BYTES) {
        let depth = stack.depth();
        let message = format!(
            "no room for {} in {STACK_BYTES} bytes of stack, {depth} calls deep",
            routine.name
        );
        return Err(Box::new(Violation::by(Rule::OutOfBounds, lane as u32, message)));
    }
    turn.block.local.forget(thread, frame, routine.frame_bytes);
    for (place, &(offset, bytes)) in arguments.chunks_exact(2).zip(&routine.parameters) {
        let from = address(turn, place[0], lane);
        turn.block.local.copy(thread, from, frame + offset, bytes);
    }
    let activation = Activation { routine: number as u32, call: turn.pc, frame: caller };
    turn.stacks[lane].push(activation, routine, turn.registers, lane);
    turn.registers.row_mut(kernel.frame).0[lane] = frame;
    turn.targets[lane] = routine.entry;
    Ok(())
}

fn run_leave(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    let (launch, kernel) = (turn.launch, turn.launch.kernel);
    for lane in lanes(mask) {
        let thread = turn.first_thread() + lane as u32;
        let popped = turn.stacks[lane].pop(&kernel.routines, turn.registers, lane);
        let Some(Activation { routine, call, frame: caller }) = popped else { continue };
        let Routine { returns, .. } = &kernel.routines[routine as usize];
        let frame = std::mem::replace(&mut turn.registers.row_mut(kernel.frame).0[lane], caller);
        let instruction = &kernel.code[call as usize];
        let places = &launch.list(instruction.list)[2 * instruction.detail as usize..];
        for (place, &(offset, bytes)) in places.chunks_exact(2).zip(returns) {
            let to = address(turn, place[0], lane);
            turn.block.local.copy(thread, frame + offset, to, bytes);
        }
        turn.targets[lane] = call + 1;
    }
    Ok(go(turn, mask))
}
