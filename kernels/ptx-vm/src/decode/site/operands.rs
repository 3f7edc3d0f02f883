//! Registers, constants and predicates that an instruction names, as slots.

use super::Site;
use super::special::special;
use crate::decode::{Binding, Decoder, constant_bits};
use crate::error::LoadResult;
use crate::family::routine;
use crate::program::Special;
use crate::registers::Slot;
use crate::syntax::{self, Operand, Type};

impl Site<'_, '_, '_> {
    /// Slot and declared type of the register a result goes to; `_` gives a slot nobody reads.
    ///
    /// # Errors
    /// No register, or one too narrow for `kind` (wider ones are the instruction's business).
    pub fn destination(&mut self, operand: &Operand<'_>, kind: Type) -> LoadResult<(Slot, Type)> {
        match operand {
            Operand::Sink => Ok((self.decoder.new_rows(kind.bytes().div_ceil(4).max(1)), kind)),
            Operand::Register(register) => {
                let (slot, declared) =
                    self.frame.register(*register).ok_or_else(|| self.error("unknown register"))?;
                match declared != Type::Pred && declared.bytes() >= kind.bytes() {
                    true => Ok((slot, declared)),
                    false => Err(self
                        .error(format!("a {kind:?} does not fit a register of type {declared:?}"))),
                }
            }
            other => {
                Err(self.error(format!("expected a register for the result, found {other:?}")))
            }
        }
    }

    /// The result's slot, in a register of exactly `kind`'s size (one row for 8, 16 and 32 bits).
    ///
    /// # Errors
    /// No register, or one of another size.
    pub fn result(&mut self, index: usize, kind: Type) -> LoadResult<Slot> {
        let operand = self.operand(index)?;
        let (slot, declared) = self.destination(operand, kind)?;
        self.same_size(declared, kind).map(|()| slot)
    }

    /// Nobody looks at this result of an `atom`.
    pub fn is_unused(&self, result: &Operand<'_>) -> bool {
        match result {
            Operand::Register(register) => self.frame.is_unused(*register),
            Operand::Vector(results) => results.iter().all(|result| self.is_unused(result)),
            other => matches!(other, Operand::Sink),
        }
    }

    /// A compare-and-swap at the same address will tell whether the loaded value still holds.
    pub fn is_compared(&self) -> bool {
        match self.instruction.operands[..] {
            [Operand::Register(register), Operand::Address { base, offset }] => {
                self.frame.is_compared(base, offset, register)
            }
            _ => false,
        }
    }

    fn same_size(&self, declared: Type, kind: Type) -> LoadResult<()> {
        let rows = |kind: Type| kind.bytes().div_ceil(4);
        match rows(declared) == rows(kind) {
            true => Ok(()),
            false => Err(self.error(format!(
                "expected a register for {kind:?}, found one of type {declared:?}"
            ))),
        }
    }

    /// The slot of a source: register, immediate, special register or address of a variable.
    ///
    /// # Errors
    /// The operand is none of these, or has another size.
    pub fn source(&mut self, index: usize, kind: Type) -> LoadResult<Slot> {
        let operand = self.operand(index)?;
        self.source_of(operand, kind)
    }

    /// The same for an operand taken from a vector or list.
    ///
    /// # Errors
    /// As [`Site::source`].
    pub fn source_of(&mut self, operand: &Operand<'_>, kind: Type) -> LoadResult<Slot> {
        match operand {
            Operand::Register(register) => {
                let (slot, declared) =
                    self.frame.register(*register).ok_or_else(|| self.error("unknown register"))?;
                if declared == Type::Pred || declared.bytes() < kind.bytes() {
                    return Err(self.error(format!(
                        "expected a {kind:?}, found a register of type {declared:?}"
                    )));
                }
                self.same_size(declared, kind).map(|()| slot)
            }
            Operand::Immediate(immediate) => {
                let bits = constant_bits(*immediate, kind)
                    .ok_or_else(|| self.error(format!("{immediate:?} is no {kind:?}")))?;
                Ok(self.constant(bits, kind.bytes() == 8))
            }
            Operand::Special(name) if name.starts_with("%reserved_smem_offset_") => {
                let at = u64::from(self.decoder.shared.reserved());
                Ok(self.constant(at, kind.bytes() == 8))
            }
            Operand::Special(name) => {
                let special = special(name).ok_or_else(|| {
                    self.error(format!("{name} cannot be used here or is not known"))
                })?;
                let slot = self.special(special);
                match kind.bytes() <= 4 {
                    true => Ok(slot),
                    false => Err(self.error(format!("{name} has 32 bits, expected a {kind:?}"))),
                }
            }
            Operand::Symbol { symbol, offset } => {
                let (_, address) = self.symbol_place(*symbol)?;
                let address = address.wrapping_add_signed(*offset);
                if let Some(Binding::Stack(_)) = self.frame.binding(*symbol) {
                    let wide = kind.bytes() == 8;
                    let to = self.decoder.new_rows(if wide { 2 } else { 1 });
                    routine::frame_address(self, address as i64, to, wide)?;
                    return Ok(to);
                }
                Ok(self.constant(address, kind.bytes() == 8))
            }
            other => Err(self.error(format!("expected a {kind:?}, found {other:?}"))),
        }
    }

    /// Slot of a special register that is fixed for a warp.
    pub fn special(&mut self, special: Special) -> Slot {
        let Decoder { constants, rows, .. } = &mut *self.decoder;
        constants.special(special, || take(rows, 1))
    }

    /// Slot of a register that holds `bits` in every lane.
    pub fn constant(&mut self, bits: u64, wide: bool) -> Slot {
        let Decoder { constants, rows, .. } = &mut *self.decoder;
        constants.value(bits, wide, || take(rows, if wide { 2 } else { 1 }))
    }

    /// A predicate read: `p`, and whether it is negated; constants 0 and 1 too.
    ///
    /// # Errors
    /// The operand is no predicate.
    pub fn predicate_source(&mut self, index: usize) -> LoadResult<(Slot, bool)> {
        let operand = self.operand(index)?;
        let (register, negated) = match operand {
            Operand::Register(register) => (register, false),
            Operand::Not(register) => (register, true),
            Operand::Immediate(syntax::Immediate::Integer(value)) => {
                return Ok((self.predicate_constant(*value != 0), false));
            }
            other => return Err(self.error(format!("expected a predicate, found {other:?}"))),
        };
        match self.frame.register(*register) {
            Some((slot, Type::Pred)) => Ok((slot, negated)),
            _ => Err(self.error("expected a predicate")),
        }
    }

    /// A predicate that always holds, or never.
    pub fn predicate_constant(&mut self, holds: bool) -> Slot {
        let Decoder { constants, predicates, .. } = &mut *self.decoder;
        constants.predicate(holds, || take(predicates, 1))
    }

    /// The slot of a predicate written; `_` gives one nobody reads.
    ///
    /// # Errors
    /// The operand is no predicate.
    pub fn predicate_result(&mut self, operand: &Operand<'_>) -> LoadResult<Slot> {
        match operand {
            Operand::Sink => Ok(self.decoder.new_predicate()),
            Operand::Register(register) => match self.frame.register(*register) {
                Some((slot, Type::Pred)) => Ok(slot),
                _ => Err(self.error("expected a predicate for the result")),
            },
            other => {
                Err(self.error(format!("expected a predicate for the result, found {other:?}")))
            }
        }
    }

    /// Whether the operand is a predicate register.
    pub fn is_predicate(&self, operand: &Operand<'_>) -> bool {
        matches!(operand, Operand::Register(r) | Operand::Not(r) if matches!(self.frame.register(*r), Some((_, Type::Pred))))
    }
}

fn take(count: &mut u32, rows: u32) -> Slot {
    let slot = Slot(*count);
    *count += rows;
    slot
}
