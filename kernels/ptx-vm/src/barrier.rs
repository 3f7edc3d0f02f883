//! The sixteen barriers of a block: who has arrived, and what a reducing barrier has gathered; and the one of its cluster.

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

/// Of a warp at the barrier of the cluster: lanes that have arrived in the running phase, those of a phase that is
/// complete who have not waited yet, and those that have exited.
#[derive(Debug, Clone, Copy, Default)]
struct Party {
    arrived: u32,
    passed: u32,
    exited: u32,
}

/// The barrier of a cluster of one block: every thread arrives, does something else, and waits.
#[derive(Debug, Default)]
pub struct Cluster {
    warps: Vec<Party>,
}

impl Cluster {
    /// A block of so many warps starts.
    pub fn start(&mut self, warps: usize) {
        self.warps.clear();
        self.warps.resize(warps, Party::default());
    }

    /// Lanes of a warp arrive; the phase is complete once all of the block's `threads` that have not exited have.
    ///
    /// # Errors
    /// A lane that has arrived has not waited since.
    pub fn arrive(&mut self, warp: u32, mask: u32, threads: u32) -> Checked<()> {
        let party = &mut self.warps[warp as usize];
        let again = mask & (party.arrived | party.passed);
        if again != 0 {
            let message = "arrives at the barrier of the cluster again without a wait between";
            return Err(Box::new(Violation::by(Rule::Barrier, again.trailing_zeros(), message)));
        }
        party.arrived |= mask;
        self.complete(threads);
        Ok(())
    }

    /// Lanes of a warp that have exited are no longer waited for.
    pub fn exit(&mut self, warp: u32, mask: u32, threads: u32) {
        let Some(party) = self.warps.get_mut(warp as usize) else { return };
        party.exited |= mask;
        if self.warps.iter().any(|party| party.arrived != 0) {
            self.complete(threads);
        }
    }

    fn complete(&mut self, threads: u32) {
        let all = |warp: usize| match threads - 32 * warp as u32 {
            lanes @ 0..32 => (1 << lanes) - 1,
            _ => u32::MAX,
        };
        let mut parties = self.warps.iter().enumerate();
        if parties.all(|(warp, party)| (party.arrived | party.exited) & all(warp) == all(warp)) {
            for party in &mut self.warps {
                party.passed |= std::mem::take(&mut party.arrived);
            }
        }
    }

    /// Whether the lanes may go on.
    ///
    /// # Errors
    /// A lane has not arrived.
    pub fn wait(&mut self, warp: u32, mask: u32) -> Checked<bool> {
        let party = &mut self.warps[warp as usize];
        let absent = mask & !(party.arrived | party.passed);
        if absent != 0 {
            let message = "waits at the barrier of the cluster without having arrived";
            return Err(Box::new(Violation::by(Rule::Barrier, absent.trailing_zeros(), message)));
        }
        let done = mask & !party.passed == 0;
        if done {
            party.passed &= !mask;
        }
        Ok(done)
    }
}
