//! The sixteen barriers of a block: who has arrived, and what a reducing barrier has gathered.

use crate::error::{Checked, Rule, Violation};

/// Barriers a block has.
pub const BARRIERS: usize = 16;

/// What arrived threads bring and take along: `bar.red`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gathered {
    /// Threads whose predicate held.
    pub count: u32,
    /// Threads that brought a predicate.
    pub threads: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Barrier {
    arrived: u32,
    expected: u32,
    gathered: Gathered,
}

/// All barriers of one block.
#[derive(Debug, Default)]
pub struct Barriers {
    barriers: [Barrier; BARRIERS],
    /// Complete, and the waiting lanes not yet let go: what they gathered.
    complete: [Option<Gathered>; BARRIERS],
    /// Whether any entry of `complete` is set.
    any_complete: bool,
}

impl Barriers {
    /// Lanes of `mask` arrive at barrier `id`, which `expected` threads have to reach; `holds` are the lanes whose
    /// predicate holds.
    ///
    /// # Errors
    /// The threads do not agree on how many there are to be.
    pub fn arrive(&mut self, id: u8, mask: u32, expected: u32, holds: u32) -> Checked<()> {
        let barrier = &mut self.barriers[usize::from(id)];
        let wrong =
            |message| Err(Box::new(Violation::by(Rule::Barrier, mask.trailing_zeros(), message)));
        if barrier.arrived > 0 && barrier.expected != expected {
            let message = format!(
                "barrier {id} for {expected} threads, but others wait at it for {}",
                barrier.expected
            );
            return wrong(message);
        }
        barrier.expected = expected;
        barrier.arrived += mask.count_ones();
        barrier.gathered.count += (mask & holds).count_ones();
        barrier.gathered.threads += mask.count_ones();
        if barrier.arrived > expected {
            return wrong(format!(
                "{} threads at barrier {id}, which is for {expected}",
                barrier.arrived
            ));
        }
        if barrier.arrived == expected {
            self.complete[usize::from(id)] = Some(barrier.gathered);
            self.any_complete = true;
            *barrier = Barrier::default();
        }
        Ok(())
    }

    /// Whether lanes can be let go.
    #[inline(always)]
    pub fn any_complete(&self) -> bool {
        self.any_complete
    }

    /// What completed since the last call.
    pub fn take_complete(&mut self) -> [Option<Gathered>; BARRIERS] {
        self.any_complete = false;
        std::mem::take(&mut self.complete)
    }

    /// Threads that wait at barrier `id`, and how many it is for.
    pub fn waiting(&self, id: u8) -> (u32, u32) {
        let barrier = &self.barriers[usize::from(id)];
        (barrier.arrived, barrier.expected)
    }
}
