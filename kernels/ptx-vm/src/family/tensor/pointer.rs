//! Addresses of instructions that have several: a base register and an offset each, read lane by lane.

use crate::decode::{Place, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::window;
use crate::program::Instruction;
use crate::registers::{LANES, Slot};
use crate::syntax::{Base, Space};
use crate::turn::Turn;

/// Slots an address takes: its base, and the offset as a constant.
pub const SLOTS: usize = 2;
/// Bits of `detail` an address takes.
pub const BITS: u32 = 3;

const BASED: u32 = 1;
const WIDE: u32 = 2;
const GENERIC: u32 = 4;

/// An address operand decoded.
#[derive(Debug, Clone, Copy)]
pub struct Pointer {
    pub slots: [Slot; SLOTS],
    /// [`BITS`] bits.
    pub flags: u32,
}

impl Pointer {
    /// The address operand with this index, in `space`.
    ///
    /// # Errors
    /// The operand is no address, or names a variable of another space.
    pub fn decode(site: &mut Site<'_, '_, '_>, index: usize, space: Space) -> LoadResult<Self> {
        let place = site.place(index)?;
        Self::of(site, place, space)
    }

    /// The same for an address taken apart.
    ///
    /// # Errors
    /// As [`Pointer::decode`].
    pub fn decode_base(
        site: &mut Site<'_, '_, '_>,
        base: Base,
        offset: i64,
        space: Space,
    ) -> LoadResult<Self> {
        let place = site.place_of(base, offset)?;
        Self::of(site, place, space)
    }

    fn of(site: &mut Site<'_, '_, '_>, place: Place, space: Space) -> LoadResult<Self> {
        let Place { base, offset, space: named } = place;
        let offset = match (space, named) {
            (Space::Generic, Some(_)) if base.is_some() => {
                return Err(site.error(
                    "a generic access by name in a function that is no part of its caller",
                ));
            }
            (Space::Generic, Some(named)) => window::generic(named, offset as u64),
            (_, None) => offset as u64,
            (space, Some(named)) if space == named => offset as u64,
            (space, Some(named)) => {
                return Err(site.error(format!("a {named:?} variable in a {space:?} access")));
            }
        };
        let mut flags = if space == Space::Generic { GENERIC } else { 0 };
        let offset = site.constant(offset, true);
        let base = base.map_or(offset, |(slot, wide)| {
            flags |= BASED | if wide { WIDE } else { 0 };
            slot
        });
        Ok(Self { slots: [base, offset], flags })
    }
}

/// The lanes' addresses as written, by the pointer whose slots start at operand `first` and whose flags at bit `shift`
/// of `detail`.
#[inline(always)]
pub fn addresses(
    turn: &Turn<'_>,
    instruction: &Instruction,
    first: usize,
    shift: u32,
) -> [u64; LANES] {
    let offset = turn.registers.get::<u64>(instruction.operands[first + 1]);
    match instruction.detail >> shift & (BASED | WIDE) {
        BASED => {
            let base = turn.registers.get::<u32>(instruction.operands[first]);
            // 32-bit addresses stay 32-bit: a negative offset does not leave them.
            std::array::from_fn(|l| u64::from(base[l].wrapping_add(offset[l] as u32)))
        }
        flags if flags & BASED != 0 => {
            let base = turn.registers.get::<u64>(instruction.operands[first]);
            std::array::from_fn(|l| base[l].wrapping_add(offset[l]))
        }
        _ => offset,
    }
}

/// The same as offsets in shared memory.
///
/// # Errors
/// A generic address of a lane in `mask` points elsewhere.
#[inline(always)]
pub fn shared_addresses(
    turn: &Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    first: usize,
    shift: u32,
) -> Checked<[u64; LANES]> {
    let addresses = addresses(turn, instruction, first, shift);
    match instruction.detail >> shift & GENERIC {
        0 => Ok(addresses),
        _ => out_of_generic(addresses, mask, Space::Shared),
    }
}

/// The same as global addresses.
///
/// # Errors
/// As [`shared_addresses`].
pub fn global_addresses(
    turn: &Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    first: usize,
    shift: u32,
) -> Checked<[u64; LANES]> {
    let addresses = addresses(turn, instruction, first, shift);
    match instruction.detail >> shift & GENERIC {
        0 => Ok(addresses),
        _ => out_of_generic(addresses, mask, Space::Global),
    }
}

fn out_of_generic(mut addresses: [u64; LANES], mask: u32, space: Space) -> Checked<[u64; LANES]> {
    for lane in (0..LANES).filter(|lane| mask >> lane & 1 == 1) {
        let (found, inner) = window::split(addresses[lane]);
        if found != space {
            let message =
                format!("expected an address in {space:?} memory, found one in {found:?}");
            return Err(Box::new(Violation::at(
                Rule::OutOfBounds,
                lane as u32,
                addresses[lane],
                message,
            )));
        }
        addresses[lane] = inner;
    }
    Ok(addresses)
}
