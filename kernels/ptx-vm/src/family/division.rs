//! Integer division: `div rem`. By zero it is a fault (the hardware gives some number).

use super::integer::with_integer;
use crate::arithmetic::integer::Integer;
use crate::decode::{Encoded, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::program::{Family, Instruction};
use crate::registers::{LANES, Lane};
use crate::turn::{Flow, Turn};

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let run = match site.opcode() {
        "div" => with_integer!(kind, T => quotient::<T> as crate::program::Run),
        _ => with_integer!(kind, T => remainder::<T> as crate::program::Run),
    };
    let run = run.ok_or_else(|| site.wrong_type(kind))?;
    let operands = site.typed(&[kind; 3])?;
    site.emit(Encoded::new(run, Family::Integer, &operands))
}

fn quotient<T: Integer + Lane>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    divide(turn, instruction, mask, T::over)
}

fn remainder<T: Integer + Lane>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    divide(turn, instruction, mask, T::modulo)
}

#[inline(always)]
fn divide<T: Integer + Lane>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    of: impl Fn(T, T) -> Option<T>,
) -> Checked<Flow> {
    let [d, a, b] = [0, 1, 2].map(|i| instruction.operands[i]);
    let (a, b) = (turn.registers.get::<T>(a), turn.registers.get::<T>(b));
    let mut out = [T::default(); LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        match of(a[lane], b[lane]) {
            Some(result) => out[lane] = result,
            None => {
                let message = "an integer division by zero";
                return Err(Box::new(Violation::by(Rule::DivisionByZero, lane as u32, message)));
            }
        }
    }
    turn.registers.set(d, mask, &out);
    Ok(Flow::Next)
}
