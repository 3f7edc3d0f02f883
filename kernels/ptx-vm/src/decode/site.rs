//! One instruction as its family sees it while decoding: operands as slots, and the place to put the result.

/// What an instruction becomes.
mod emit;
/// Registers, constants and predicates.
mod operands;
/// Addresses.
mod places;
/// The special registers by name.
mod special;
/// Operands of arithmetic.
mod typed;

use super::frame::Binding;
use super::{Decoder, Frame, Modifiers};
use crate::error::{LoadError, LoadResult};
use crate::shapes::Host;
use crate::syntax::{self, Operand};

pub use emit::Encoded;
pub use places::Place;

/// Functions that may call one another in a chain.
const MOST_DEPTH: usize = 64;

/// The instruction being decoded, with its surroundings.
pub struct Site<'d, 'm, 't> {
    decoder: &'d mut Decoder<'m, 't>,
    frame: &'d Frame,
    pub instruction: &'d syntax::Instruction<'t>,
}

impl<'d, 'm, 't> Site<'d, 'm, 't> {
    pub(super) fn new(
        decoder: &'d mut Decoder<'m, 't>,
        frame: &'d Frame,
        instruction: &'d syntax::Instruction<'t>,
    ) -> Self {
        Self { decoder, frame, instruction }
    }

    /// The kernel reads shared memory by the asynchronous proxy (bulk copies, `wgmma`).
    pub fn uses_async_proxy(&mut self) {
        self.decoder.async_proxy = true;
    }

    pub fn host(&self) -> Host {
        self.decoder.host
    }

    /// `add` of `add.s32`.
    pub fn opcode(&self) -> &'t str {
        self.instruction.parts.first().copied().unwrap_or_default()
    }

    pub fn modifiers(&self) -> Modifiers<'t> {
        Modifiers::of(self.instruction)
    }

    pub fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::new(self.instruction.line, message)
    }

    /// # Errors
    /// The instruction has another number of operands.
    pub fn expect_operands(&self, count: usize) -> LoadResult<()> {
        match self.instruction.operands.len() {
            found if found == count => Ok(()),
            found => Err(self.error(format!("expected {count} operands, found {found}"))),
        }
    }

    /// The operand with this index.
    ///
    /// # Errors
    /// There are not so many.
    pub fn operand(&self, index: usize) -> LoadResult<&'d Operand<'t>> {
        let instruction = self.instruction;
        instruction
            .operands
            .get(index)
            .ok_or_else(|| self.error(format!("operand {} is missing", index + 1)))
    }

    /// The function a `call` names.
    pub fn function(&self, index: u32) -> Option<&'m syntax::Function<'t>> {
        self.decoder.module.functions.get(index as usize)
    }

    /// Writes a device function out here; the bindings are those of its parameters and results.
    ///
    /// # Errors
    /// The function has no body, or does not decode.
    pub fn write_out(
        &mut self,
        index: u32,
        parameters: Vec<Binding>,
        returns: Vec<Binding>,
    ) -> LoadResult<()> {
        let function = self.function(index).ok_or_else(|| self.error("unknown function"))?;
        if self.decoder.depth >= MOST_DEPTH {
            return Err(self.error(format!("functions call each other {MOST_DEPTH} deep")));
        }
        self.decoder.depth += 1;
        self.decoder.write_out(function, parameters, returns)?;
        self.decoder.depth -= 1;
        Ok(())
    }

    /// Place of an argument or result of a call: a `.param` variable of the size that the name it is known by there has.
    ///
    /// # Errors
    /// Something else.
    pub fn argument(
        &self,
        operand: &Operand<'_>,
        (name, size): (&str, u64),
    ) -> LoadResult<Binding> {
        let Operand::Symbol { symbol, offset: 0 } = operand else {
            return Err(self.error(format!("expected a .param variable, found {operand:?}")));
        };
        if let Some(bytes) = self.frame.size(*symbol).filter(|&bytes| bytes != size) {
            return Err(self.error(format!("{bytes} bytes for {name}, which has {size}")));
        }
        self.frame
            .binding(*symbol)
            .ok_or_else(|| self.error("expected a .param variable of this function"))
    }

    /// The number of a function among the kernel's routines, if it is one.
    pub fn routine(&self, index: u32) -> Option<u32> {
        self.decoder.routines.binary_search_by_key(&index, |r| r.function).ok().map(|i| i as u32)
    }

    /// Sizes of the results and of the parameters of a `.callprototype`.
    pub fn prototype(&self, index: u32) -> Option<&'d [Vec<u64>; 2]> {
        self.frame.prototype(index)
    }

    /// Whether the code stands in a kernel itself (else in a device function written out).
    pub fn in_kernel(&self) -> bool {
        self.frame.entry
    }
}
