//! Operands of arithmetic, which have exactly the instruction's type: the same size, and no integer for a float.

use super::Site;
use crate::error::LoadResult;
use crate::registers::Slot;
use crate::syntax::{Immediate, Operand, Type};

/// What a type's bits mean; types without a meaning go with all.
#[derive(PartialEq, Eq)]
enum Meaning {
    Bits,
    Integer,
    Single,
    Double,
    Half,
    Bfloat,
}

fn meaning(kind: Type) -> Meaning {
    match kind {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Meaning::Integer,
        Type::S8 | Type::S16 | Type::S32 | Type::S64 => Meaning::Integer,
        Type::F32 | Type::Tf32 => Meaning::Single,
        Type::F64 => Meaning::Double,
        Type::F16 | Type::F16x2 => Meaning::Half,
        Type::Bf16 | Type::Bf16x2 => Meaning::Bfloat,
        Type::B8 | Type::B16 | Type::B32 | Type::B64 | Type::B128 | Type::Pred => Meaning::Bits,
    }
}

impl Site<'_, '_, '_> {
    /// Slots of a result and sources of these types, in the order of the operands.
    ///
    /// # Errors
    /// Another number of operands, or one of another type.
    pub fn typed(&mut self, kinds: &[Type]) -> LoadResult<Vec<Slot>> {
        self.expect_operands(kinds.len())?;
        kinds.iter().enumerate().map(|(i, &kind)| self.typed_operand(i, kind)).collect()
    }

    /// The slot of one operand: the result (operand 0) or a source.
    ///
    /// # Errors
    /// The operand is missing or of another type.
    pub fn typed_operand(&mut self, index: usize, kind: Type) -> LoadResult<Slot> {
        let operand = self.operand(index)?;
        if let Some(declared) = self.declared(operand) {
            let (a, b) = (meaning(declared), meaning(kind));
            let alike = a == b || a == Meaning::Bits || b == Meaning::Bits;
            if declared.bytes() != kind.bytes() || !alike {
                return Err(self.error(format!(
                    "operand {}: expected a {kind:?}, found a register of type {declared:?}",
                    index + 1
                )));
            }
        }
        let float = matches!(operand, Operand::Immediate(Immediate::F32(_) | Immediate::F64(_)));
        if float && meaning(kind) == Meaning::Integer {
            return Err(
                self.error(format!("operand {}: expected a {kind:?}, found a float", index + 1))
            );
        }
        if index == 0 { self.result(0, kind) } else { self.source(index, kind) }
    }

    /// The type a register operand was declared with.
    pub fn declared(&self, operand: &Operand<'_>) -> Option<Type> {
        match operand {
            Operand::Register(register) => self.frame.register(*register).map(|(_, kind)| kind),
            _ => None,
        }
    }

    /// A source that may lie in a wider register, of which the low bits count; says whether that has 64 bits.
    ///
    /// # Errors
    /// As [`Site::source`].
    pub fn source_in_wider(&mut self, index: usize, kind: Type) -> LoadResult<(Slot, bool)> {
        let operand = self.operand(index)?;
        match (operand, self.declared(operand)) {
            (Operand::Register(register), Some(declared))
                if declared != Type::Pred && declared.bytes() >= kind.bytes() =>
            {
                match self.frame.register(*register) {
                    Some((slot, _)) => Ok((slot, declared.bytes() == 8)),
                    None => Err(self.error("unknown register")),
                }
            }
            _ => Ok((self.source(index, kind)?, kind.bytes() == 8)),
        }
    }

    /// The slot of the carry flag (`CC.CF`), a predicate.
    pub fn carry(&mut self) -> Slot {
        match self.decoder.carry {
            Some(slot) => slot,
            None => {
                let slot = self.decoder.new_predicate();
                self.decoder.carry = Some(slot);
                slot
            }
        }
    }

    /// The error for a type the instruction does not take.
    pub fn wrong_type(&self, kind: Type) -> crate::error::LoadError {
        self.error(format!("{} does not exist for {kind:?}", self.opcode()))
    }
}
