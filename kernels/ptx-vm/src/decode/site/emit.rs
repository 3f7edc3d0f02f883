//! What an instruction becomes, put behind what was decoded before.

use super::Site;
use crate::error::LoadResult;
use crate::program::{Family, Guard, Instruction, OPERANDS, Origin, Run};
use crate::registers::Slot;
use crate::syntax::{Operand, Type};

/// A decoded instruction without guard and origin.
#[derive(Debug, Clone)]
pub struct Encoded {
    pub run: Run,
    pub family: Family,
    /// At most [`OPERANDS`].
    pub operands: Vec<Slot>,
    pub number: i64,
    pub detail: u32,
    pub list: Vec<Slot>,
}

impl Encoded {
    pub fn new(run: Run, family: Family, operands: &[Slot]) -> Self {
        Self { run, family, operands: operands.to_vec(), number: 0, detail: 0, list: Vec::new() }
    }
}

impl Site<'_, '_, '_> {
    /// The guard in front of the instruction.
    ///
    /// # Errors
    /// Its register is no predicate.
    pub fn guard(&self) -> LoadResult<Guard> {
        let Some(guard) = self.instruction.guard else { return Ok(Guard::Always) };
        match self.frame.register(guard.register) {
            Some((slot, Type::Pred)) if guard.negated => Ok(Guard::Unless(slot)),
            Some((slot, Type::Pred)) => Ok(Guard::If(slot)),
            _ => Err(self.error("the guard is no predicate")),
        }
    }

    /// Appends an instruction under this one's guard.
    ///
    /// # Errors
    /// The guard is no predicate.
    pub fn emit(&mut self, encoded: Encoded) -> LoadResult<()> {
        assert!(
            encoded.operands.len() <= OPERANDS,
            "{}: operands beyond {OPERANDS} belong into the list",
            self.opcode()
        );
        let guard = self.guard()?;
        let mut operands = [Slot::default(); OPERANDS];
        operands[..encoded.operands.len()].copy_from_slice(&encoded.operands);
        let list = (self.decoder.lists.len() as u32, encoded.list.len() as u32);
        self.decoder.lists.extend(encoded.list);
        let Encoded { run, number, detail, family, .. } = encoded;
        let origin =
            Origin { line: self.instruction.line, source: self.instruction.source, family };
        self.decoder.push(Instruction { run, guard, operands, number, detail, list }, origin);
        Ok(())
    }

    /// Appends an instruction for the lanes whose guard does not hold, and says where it stands.
    ///
    /// # Errors
    /// The guard is no predicate.
    pub fn emit_inverted(&mut self, encoded: Encoded) -> LoadResult<usize> {
        let at = self.decoder.code.len();
        self.emit(encoded)?;
        let guard = &mut self.decoder.code[at].guard;
        *guard = match *guard {
            Guard::If(slot) => Guard::Unless(slot),
            Guard::Unless(slot) => Guard::If(slot),
            Guard::Always => Guard::Always,
        };
        Ok(at)
    }

    /// The jump at `at` goes to what is written next.
    pub fn land(&mut self, at: usize) {
        self.decoder.code[at].number = self.decoder.code.len() as i64;
    }

    /// Appends a jump to a label.
    ///
    /// # Errors
    /// The operand is no label.
    pub fn emit_jump(&mut self, encoded: Encoded, target: &Operand<'_>) -> LoadResult<()> {
        let Operand::Label(label) = target else {
            return Err(self.error(format!("expected a label, found {target:?}")));
        };
        self.frame.jump_number(self.decoder.code.len(), *label);
        self.emit(encoded)
    }

    /// Appends a jump whose list is a `.branchtargets` list: instruction numbers.
    ///
    /// # Errors
    /// The operand is no such list.
    pub fn emit_jump_table(&mut self, encoded: Encoded, targets: &Operand<'_>) -> LoadResult<()> {
        let table = match targets {
            Operand::Targets(index) => self.frame.table(*index),
            _ => None,
        };
        let table =
            table.ok_or_else(|| self.error("expected the name of a .branchtargets list"))?;
        let at = self.decoder.code.len();
        self.emit(encoded)?;
        self.decoder.code[at].list = table;
        Ok(())
    }

    /// Appends a jump to the end of the function being written out.
    ///
    /// # Errors
    /// The guard is no predicate.
    pub fn emit_jump_to_end(&mut self, encoded: Encoded) -> LoadResult<()> {
        self.frame.jump_end(self.decoder.code.len());
        self.emit(encoded)
    }
}
