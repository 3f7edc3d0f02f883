//! The functions that CUDA's device runtime gives to kernels: `vprintf`, `__assertfail`, `malloc`, `free`.

use std::io::Write;

use super::routine;
use crate::decode::{Binding, Encoded, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::print::{self, Arguments};
use crate::program::{Family, Instruction, Run};
use crate::registers::{LANES, Slot};
use crate::syntax::Space;
use crate::turn::{Flow, How, Turn};

/// A text longer than this has lost its end.
const MOST_TEXT: usize = 1 << 16;

/// A call of a function without a body; the list holds where its arguments and then its results lie in local memory.
///
/// # Errors
/// The machine does not know the function, or what is handed over is none of the body's own variables.
pub fn decode(
    site: &mut Site<'_, '_, '_>,
    name: &str,
    arguments: &[Binding],
    returns: &[Binding],
) -> LoadResult<()> {
    let run: Run = match (name, arguments.len(), returns.len()) {
        ("vprintf", 2, 1) => run_print,
        ("__assertfail", 5, 0) => run_assertion,
        ("malloc", 1, 1) => run_take,
        ("free", 1, 0) => run_give_back,
        _ => {
            let message = format!(
                "{name} has no body in this module; of the runtime's functions vprintf, __assertfail, malloc and free are known"
            );
            return Err(site.error(message));
        }
    };
    let places = arguments.iter().chain(returns).map(|binding| routine::place(site, binding));
    let list = places.collect::<LoadResult<Vec<_>>>()?;
    site.emit(Encoded { list, ..Encoded::new(run, Family::Control, &[]) })
}

/// The memory a lane sees.
struct Lane<'t, 'a> {
    turn: &'t mut Turn<'a>,
    lane: usize,
}

impl Lane<'_, '_> {
    fn byte(&mut self, address: u64) -> Checked<u8> {
        let (mask, addresses) = (1 << self.lane, [address; LANES]);
        let value = self.turn.load::<u8, 1>(Space::Generic, mask, &addresses, How::default())?;
        Ok(value[0][self.lane])
    }

    /// An argument of the function.
    fn argument(&mut self, place: Slot, wide: bool) -> Checked<u64> {
        let address = routine::address(self.turn, place, self.lane);
        self.word(Space::Local, u64::from(address), wide)
    }

    fn word(&mut self, space: Space, address: u64, wide: bool) -> Checked<u64> {
        let (mask, addresses, how) = (1 << self.lane, [address; LANES], How::default());
        Ok(match wide {
            true => self.turn.load::<u64, 1>(space, mask, &addresses, how)?[0][self.lane],
            false => {
                u64::from(self.turn.load::<u32, 1>(space, mask, &addresses, how)?[0][self.lane])
            }
        })
    }

    fn text(&mut self, address: u64) -> Checked<Vec<u8>> {
        let mut text = Vec::new();
        while text.len() < MOST_TEXT {
            match self.byte(address.wrapping_add(text.len() as u64))? {
                0 => return Ok(text),
                byte => text.push(byte),
            }
        }
        let message = format!("a text of more than {MOST_TEXT} bytes");
        Err(Box::new(Violation::at(Rule::Trap, self.lane as u32, address, message)))
    }

    fn violation(&self, message: String) -> Box<Violation> {
        Box::new(Violation::by(Rule::Trap, self.lane as u32, message))
    }
}

/// The arguments of a `printf`: one after the other, each at a multiple of its size.
struct Buffer<'l, 't, 'a> {
    lane: &'l mut Lane<'t, 'a>,
    address: u64,
}

impl Arguments for Buffer<'_, '_, '_> {
    fn word(&mut self, wide: bool) -> Checked<u64> {
        let bytes = if wide { 8 } else { 4 };
        let address = self.address.wrapping_add(bytes - 1) & !(bytes - 1);
        self.address = address.wrapping_add(bytes);
        self.lane.word(Space::Generic, address, wide)
    }

    fn text(&mut self, address: u64) -> Checked<Vec<u8>> {
        self.lane.text(address)
    }

    fn wrong(&self, message: String) -> Box<Violation> {
        self.lane.violation(message)
    }
}

/// `vprintf(format, arguments)`: lanes print in their order, each its whole text at once.
fn run_print(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let &[format, arguments, result] = turn.launch.list(instruction.list) else {
        return Ok(Flow::Next);
    };
    let mut counts = [0u32; LANES];
    for index in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let mut lane = Lane { turn, lane: index };
        let format = lane.argument(format, true)?;
        let address = lane.argument(arguments, true)?;
        let format = lane.text(format)?;
        let (text, count) = print::format(&format, &mut Buffer { lane: &mut lane, address })?;
        counts[index] = count;
        match &turn.launch.options.printed {
            Some(printed) => {
                printed.lock().unwrap_or_else(|e| e.into_inner()).extend_from_slice(&text);
            }
            // A closed output is no fault of the kernel's.
            None => drop(std::io::stdout().lock().write_all(&text)),
        }
    }
    let addresses = std::array::from_fn(|lane| u64::from(routine::address(turn, result, lane)));
    turn.store::<u32, 1>(Space::Local, mask, &addresses, &[counts], How::default())?;
    Ok(Flow::Next)
}

/// `malloc(bytes)`: zero where there is no room.
fn run_take(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let &[size, result] = turn.launch.list(instruction.list) else {
        return Ok(Flow::Next);
    };
    let mut taken = [0u64; LANES];
    for index in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let bytes = Lane { turn, lane: index }.argument(size, true)?;
        if let Some(address) = turn.launch.program.heap.as_ref().and_then(|heap| heap.take(bytes)) {
            turn.block.global.forget(address, bytes);
            taken[index] = address;
        }
    }
    let addresses = std::array::from_fn(|lane| u64::from(routine::address(turn, result, lane)));
    turn.store::<u64, 1>(Space::Local, mask, &addresses, &[taken], How::default())?;
    Ok(Flow::Next)
}

/// `free(address)`: what lay there counts as unwritten.
fn run_give_back(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let &[pointer] = turn.launch.list(instruction.list) else {
        return Ok(Flow::Next);
    };
    for index in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let address = Lane { turn, lane: index }.argument(pointer, true)?;
        if address == 0 {
            continue;
        }
        let heap = turn.launch.program.heap.as_ref();
        let Some(bytes) = heap.and_then(|heap| heap.give_back(address)) else {
            let message = format!("free of 0x{address:x}, where nothing begins that malloc gave");
            return Err(Box::new(Violation::at(Rule::Freed, index as u32, address, message)));
        };
        turn.block.global.forget(address, bytes);
    }
    Ok(Flow::Next)
}

/// `__assertfail(message, file, line, function, bytes of a character)`.
fn run_assertion(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let &[message, file, line, function, _] = turn.launch.list(instruction.list) else {
        return Ok(Flow::Next);
    };
    let mut lane = Lane { turn, lane: mask.trailing_zeros() as usize };
    let line = lane.argument(line, false)?;
    let mut read = |place: Slot| {
        let address = lane.argument(place, true)?;
        lane.text(address).map(|text| String::from_utf8_lossy(&text).into_owned())
    };
    let (message, file, function) = (read(message)?, read(file)?, read(function)?);
    let message = format!("assertion `{message}` failed at {file}:{line} in {function}");
    Err(lane.violation(message))
}
