//! The dotted parts after an instruction's name: taken one by one, and what nobody took is an error.

use crate::error::{LoadError, LoadResult};
use crate::syntax::{Instruction, Type};

/// Modifiers not yet understood.
#[derive(Debug, Clone)]
pub struct Modifiers<'t> {
    rest: Vec<&'t str>,
    line: u32,
}

impl<'t> Modifiers<'t> {
    pub fn of(instruction: &Instruction<'t>) -> Self {
        Self { rest: instruction.parts[1..].to_vec(), line: instruction.line }
    }

    /// Takes `name` if it is there.
    pub fn take(&mut self, name: &str) -> bool {
        let found = self.rest.iter().position(|part| *part == name);
        if let Some(at) = found {
            self.rest.remove(at);
        }
        found.is_some()
    }

    /// Takes the first modifier for which `meaning` has a value.
    pub fn take_one<T>(&mut self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        let at = self.rest.iter().position(|part| meaning(part).is_some())?;
        meaning(self.rest.remove(at))
    }

    /// Takes the last type (`add.s32`: the only one, `cvt.f32.bf16`: the source's).
    ///
    /// # Errors
    /// There is none.
    pub fn take_last_type(&mut self) -> LoadResult<Type> {
        match self.rest.iter().rposition(|part| Type::parse(part).is_some()) {
            Some(at) => Ok(Type::parse(self.rest.remove(at)).expect("just parsed")),
            None => Err(LoadError::new(self.line, "the instruction has no type")),
        }
    }

    /// What is left, in order.
    pub fn rest(&self) -> &[&'t str] {
        &self.rest
    }

    /// # Errors
    /// A modifier is left that the instruction does not know.
    pub fn finish(self) -> LoadResult<()> {
        match self.rest.first() {
            None => Ok(()),
            Some(part) => Err(LoadError::new(self.line, format!("unknown modifier .{part}"))),
        }
    }
}
