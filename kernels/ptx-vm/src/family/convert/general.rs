//! Any conversion, lane by lane.

use super::kind::Conversion;
use crate::error::Checked;
use crate::program::{Instruction, Run};
use crate::registers::{LANES, Lane};
use crate::turn::{Flow, Turn};

/// Operands `d, a`, each in a register of 64 bits or of less.
pub(super) fn run(wide_from: bool, wide_to: bool) -> Run {
    match (wide_from, wide_to) {
        (false, false) => one::<u32, u32>,
        (true, false) => one::<u64, u32>,
        (false, true) => one::<u32, u64>,
        (true, true) => one::<u64, u64>,
    }
}

/// A register's bits as a number's.
trait Bits: Lane {
    fn widened(self) -> u64;
    fn narrowed(bits: u64) -> Self;
}

impl Bits for u32 {
    fn widened(self) -> u64 {
        u64::from(self)
    }
    fn narrowed(bits: u64) -> Self {
        bits as u32
    }
}

impl Bits for u64 {
    fn widened(self) -> u64 {
        self
    }
    fn narrowed(bits: u64) -> Self {
        bits
    }
}

/// The low `bits` bits.
fn low(value: u64, bits: u32) -> u64 {
    let spare = 64 - bits.clamp(1, 64);
    value << spare >> spare
}

/// `detail` holds the bits of the result's register: a result of less is extended by its sign.
fn one<A: Bits, D: Bits>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let conversion = Conversion::from_number(instruction.number);
    let a = turn.registers.get::<A>(instruction.operands[1]);
    let mut out = [D::default(); LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let bits = conversion.of(low(a[lane].widened(), conversion.from.bits));
        out[lane] = D::narrowed(low(bits, instruction.detail));
    }
    turn.registers.set(instruction.operands[0], mask, &out);
    Ok(Flow::Next)
}

/// Operands `d, a, b`: `a` becomes the upper half.
pub(super) fn two_to_pair(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let conversion = Conversion::from_number(instruction.number);
    let [d, a, b] = [0, 1, 2].map(|i| instruction.operands[i]);
    let (a, b) = (turn.registers.get::<u32>(a), turn.registers.get::<u32>(b));
    let mut out = [0u32; LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let (high, low) = (conversion.of(u64::from(a[lane])), conversion.of(u64::from(b[lane])));
        out[lane] = (high << conversion.to.bits | low) as u32;
    }
    turn.registers.set(d, mask, &out);
    Ok(Flow::Next)
}

/// Operands `d, a`: half by half.
pub(super) fn pair_to_pair(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let conversion = Conversion::from_number(instruction.number);
    let (from, to) = (conversion.from.bits, conversion.to.bits);
    let a = turn.registers.get::<u32>(instruction.operands[1]);
    let mut out = [0u32; LANES];
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let whole = u64::from(a[lane]);
        let (high, low) =
            (conversion.of(low(whole >> from, from)), conversion.of(low(whole, from)));
        out[lane] = (high << to | low) as u32;
    }
    turn.registers.set(instruction.operands[0], mask, &out);
    Ok(Flow::Next)
}
