//! An mbarrier: arrivals and bytes that a phase waits for, and the copies that will report to it.

use std::collections::VecDeque;

use super::BulkLoad;
use crate::memory::Snapshot;

/// Arrivals and bytes are counted in 20 bits (PTX ISA, "Contents of the mbarrier object").
pub const MOST: u32 = (1 << 20) - 1;

/// Set in the 64 bits of every mbarrier and every state.
const MARK: u64 = 1 << 63;
const PHASE_BIT: u32 = 62;

/// The object behind 64 bits of shared memory.
#[derive(Debug, Default)]
pub struct Mbarrier {
    /// Arrivals each phase waits for.
    expected: u32,
    /// Those still missing.
    pending: u32,
    /// Bytes announced and not yet arrived; negative where they arrived first.
    transaction: i32,
    /// Parity of the running phase.
    phase: u32,
    /// What will report here, in the order of its start.
    effects: VecDeque<Effect>,
}

/// Something asynchronous that ends by reporting to an mbarrier.
#[derive(Debug)]
pub enum Effect {
    /// Bytes arrive and are counted.
    Load(Box<BulkLoad>),
    /// All `cp.async` of some lanes up to a moment arrive, then each lane does.
    Copies {
        warp: u32,
        lanes: u32,
        /// [`super::Copies::started`] at that moment.
        until: u64,
        /// What the lanes had done by then.
        done: Option<Snapshot>,
    },
}

impl Mbarrier {
    /// An object whose phases wait for so many arrivals, in its first phase.
    pub fn new(expected: u32) -> Self {
        Self { expected, pending: expected, ..Self::default() }
    }

    /// What lies in shared memory: opaque to the kernel, also as a state.
    pub fn bits(&self) -> u64 {
        let transaction = (self.transaction + MOST as i32) as u64;
        MARK | u64::from(self.phase) << PHASE_BIT
            | transaction << 40
            | u64::from(self.expected) << 20
            | u64::from(self.pending)
    }

    /// Parity of the running phase.
    pub fn phase(&self) -> u32 {
        self.phase
    }

    /// Arrives `count` times.
    ///
    /// # Errors
    /// The phase does not wait for so many.
    pub fn arrive(&mut self, count: u32) -> Result<(), String> {
        if count > self.pending {
            return Err(format!(
                "{count} arrivals at an mbarrier that waits for {} of {}",
                self.pending, self.expected
            ));
        }
        self.pending -= count;
        self.complete();
        Ok(())
    }

    /// Arrives without ending the phase.
    ///
    /// # Errors
    /// It would end.
    pub fn arrive_without_end(&mut self, count: u32) -> Result<(), String> {
        match count < self.pending {
            true => self.arrive(count),
            false => Err(format!(
                "{count} arrivals with .noComplete at an mbarrier that waits for {}",
                self.pending
            )),
        }
    }

    /// One arrival more to wait for, in this phase alone.
    ///
    /// # Errors
    /// They are too many.
    pub fn expect_arrival(&mut self) -> Result<(), String> {
        match self.pending < MOST {
            true => {
                self.pending += 1;
                Ok(())
            }
            false => Err(format!("more than {MOST} arrivals at an mbarrier")),
        }
    }

    /// From the next phase on `count` arrivals fewer are waited for.
    ///
    /// # Errors
    /// There are not so many.
    pub fn drop(&mut self, count: u32) -> Result<(), String> {
        match self.expected.checked_sub(count) {
            Some(left) => {
                self.expected = left;
                Ok(())
            }
            None => Err(format!("{count} arrivals dropped of {}", self.expected)),
        }
    }

    /// The phase waits for so many bytes more (or, if negative, fewer: they have arrived).
    ///
    /// # Errors
    /// The count leaves its 20 bits.
    pub fn expect_bytes(&mut self, bytes: i64) -> Result<(), String> {
        let sum = i64::from(self.transaction) + bytes;
        if sum.abs() > i64::from(MOST) {
            return Err(format!("{sum} bytes outstanding at an mbarrier; at most {MOST}"));
        }
        self.transaction = sum as i32;
        self.complete();
        Ok(())
    }

    fn complete(&mut self) {
        if self.pending == 0 && self.transaction == 0 {
            self.phase ^= 1;
            self.pending = self.expected;
        }
    }

    pub fn add(&mut self, effect: Effect) {
        self.effects.push_back(effect);
    }

    /// Whether copies that report here have not arrived.
    pub fn has_effects(&self) -> bool {
        !self.effects.is_empty()
    }

    /// The next effect, if together they can end the phase: before that none has to come.
    pub fn take_effect(&mut self) -> Option<Effect> {
        let arrivals = self.effects.iter().map(|effect| match effect {
            Effect::Load(_) => 0,
            Effect::Copies { lanes, .. } => lanes.count_ones(),
        });
        match arrivals.sum::<u32>() >= self.pending {
            true => self.effects.pop_front(),
            false => None,
        }
    }

    /// Puts back what is left of an effect.
    pub fn put_back(&mut self, effect: Effect) {
        self.effects.push_front(effect);
    }

    /// The instruction whose copy brings the byte of shared memory at `address`.
    pub(super) fn into(&self, address: u64) -> Option<u32> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Load(load) if load.covers(address) => Some(load.pc),
            _ => None,
        })
    }

    /// What the running phase waits for, in words; `None` if nothing of it has come.
    pub(super) fn outstanding(&self) -> Option<String> {
        let (pending, expected, bytes) = (self.pending, self.expected, self.transaction);
        (pending != expected || bytes != 0).then(|| {
            format!(
                "phase {} waits for {pending} of {expected} arrivals and {bytes} bytes",
                self.phase
            )
        })
    }
}

/// Parity of the phase that a state was taken in; `None` for what is no state.
pub fn phase_of(state: u64) -> Option<u32> {
    (state & MARK != 0).then_some((state >> PHASE_BIT & 1) as u32)
}

/// Arrivals that were pending when a state was taken.
pub fn pending_of(state: u64) -> u32 {
    state as u32 & MOST
}
