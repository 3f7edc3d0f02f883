//! What all instructions of a whole warp (`.sync.aligned`) have in common: they need its 32 lanes at one place.

use crate::decode::Site;
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::program::Instruction;
use crate::registers::{ALL, LANES, Slot};
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};

/// Waits for the lanes that are not here yet. `Some` is what to do instead of the instruction.
///
/// # Errors
/// The warp has fewer than 32 lanes, or some have exited.
#[inline(always)]
pub fn whole_warp(turn: &Turn<'_>, mask: u32) -> Checked<Option<Flow>> {
    if mask == ALL {
        return Ok(None);
    }
    missing(turn, mask)
}

#[cold]
fn missing(turn: &Turn<'_>, mask: u32) -> Checked<Option<Flow>> {
    if turn.live & !mask != 0 {
        return Ok(Some(Flow::Converge(ALL)));
    }
    let message = format!(
        "an instruction of the whole warp, but lanes {:#010x} have exited or never were",
        !mask
    );
    Err(Box::new(Violation::by(Rule::InactiveLane, mask.trailing_zeros(), message)))
}

/// The registers of an operand in braces (or one without), as sources.
///
/// # Errors
/// There are not `count`, or one is no `kind`.
pub fn sources(
    site: &mut Site<'_, '_, '_>,
    index: usize,
    count: usize,
    kind: Type,
) -> LoadResult<Vec<Slot>> {
    let parts = parts(site, index, count)?;
    parts.iter().map(|part| site.source_of(part, kind)).collect()
}

/// The same as results.
///
/// # Errors
/// As [`sources`].
pub fn results(
    site: &mut Site<'_, '_, '_>,
    index: usize,
    count: usize,
    kind: Type,
) -> LoadResult<Vec<Slot>> {
    let parts = parts(site, index, count)?;
    let mut slots = Vec::with_capacity(count);
    for part in parts {
        let (slot, declared) = site.destination(part, kind)?;
        if declared.bytes() != kind.bytes() {
            return Err(site.error(format!("expected a {kind:?}, found a {declared:?}")));
        }
        slots.push(slot);
    }
    Ok(slots)
}

fn parts<'d, 't>(
    site: &Site<'d, '_, 't>,
    index: usize,
    count: usize,
) -> LoadResult<&'d [Operand<'t>]> {
    let operand = site.operand(index)?;
    let parts = match operand {
        Operand::Vector(parts) => parts.as_slice(),
        single => std::slice::from_ref(single),
    };
    match parts.len() == count {
        true => Ok(parts),
        false => Err(site.error(format!(
            "operand {} has {} registers, expected {count}",
            index + 1,
            parts.len()
        ))),
    }
}

/// The first `N` slots of the list from `first` on, each a row of 32-bit words.
#[inline(always)]
pub fn rows<const N: usize>(
    turn: &Turn<'_>,
    instruction: &Instruction,
    first: usize,
) -> [[u32; LANES]; N] {
    let list = &turn.launch.list(instruction.list)[first..][..N];
    std::array::from_fn(|i| turn.registers.row(list[i]).0)
}
