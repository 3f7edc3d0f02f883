//! The calls that a thread is in, of functions that stand in the code once.

use crate::program::{Kept, Routine};
use crate::registers::{Registers, Slot};

/// Bytes of a thread's stack: frames, the registers that calls keep, and [`CALL_BYTES`] for each call.
pub const STACK_BYTES: u32 = 64 << 10;
/// What a call takes without any of them: where it goes back to.
pub const CALL_BYTES: usize = 16;

/// A function that was called and has not returned.
#[derive(Debug, Clone, Copy)]
pub struct Activation {
    /// Number among the kernel's routines.
    pub routine: u32,
    /// Instruction of the call.
    pub call: u32,
    /// Where the caller's frame begins.
    pub frame: u32,
}

/// The calls of one thread.
#[derive(Debug, Clone, Default)]
pub struct Stack {
    activations: Vec<Activation>,
    /// What the called functions' registers held before, call by call.
    kept: Vec<u32>,
}

impl Stack {
    /// The routine that runs.
    pub fn top(&self) -> Option<u32> {
        self.activations.last().map(|activation| activation.routine)
    }

    pub fn depth(&self) -> usize {
        self.activations.len()
    }

    /// Registers kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The thread starts anew.
    pub fn clear(&mut self) {
        self.activations.clear();
        self.kept.clear();
    }

    /// A routine is entered: what its registers hold is kept.
    pub fn push(
        &mut self,
        activation: Activation,
        routine: &Routine,
        registers: &Registers,
        lane: usize,
    ) {
        self.activations.push(activation);
        let Kept { narrow, wide, predicates } = &routine.kept;
        self.kept.extend(narrow.iter().map(|&slot| registers.row(slot).0[lane]));
        for &slot in wide {
            let value = registers.word(slot, lane);
            self.kept.extend([value as u32, (value >> 32) as u32]);
        }
        let holds = |slot: u32| registers.predicate(Slot(slot)) >> lane & 1;
        self.kept.extend(predicates.clone().map(holds));
    }

    /// The routine that runs returns: its registers hold again what they did before.
    pub fn pop(
        &mut self,
        routines: &[Routine],
        registers: &mut Registers,
        lane: usize,
    ) -> Option<Activation> {
        let activation = self.activations.pop()?;
        let routine = &routines[activation.routine as usize];
        let Kept { narrow, wide, predicates } = &routine.kept;
        let mut words = self.kept.drain(self.kept.len() - routine.kept.words()..);
        for (&slot, word) in narrow.iter().zip(&mut words) {
            registers.row_mut(slot).0[lane] = word;
        }
        for &slot in wide {
            let [low, high] = [words.next(), words.next()].map(Option::unwrap_or_default);
            registers.set_word(slot, lane, u64::from(high) << 32 | u64::from(low));
        }
        for (slot, word) in predicates.clone().zip(words) {
            registers.set_predicate(Slot(slot), 1 << lane, word << lane);
        }
        Some(activation)
    }
}
