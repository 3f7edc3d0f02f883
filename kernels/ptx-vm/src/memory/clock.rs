//! What a thread knows of the others' progress: vector clocks, dense inside a block, a map beyond it.

use super::LANES;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// For each block the last epoch of each of its threads that came before some point. Handed on through
/// memory (a flag, an mbarrier); its parts are shared, so that handing on copies pointers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Knowledge {
    blocks: BTreeMap<u32, Arc<[u32]>>,
}

impl Knowledge {
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Learns all that `other` knows.
    pub fn join(&mut self, other: &Knowledge) {
        other.blocks.iter().for_each(|(&block, epochs)| self.join_block(block, epochs));
    }

    fn join_block(&mut self, block: u32, epochs: &Arc<[u32]>) {
        match self.blocks.get_mut(&block) {
            None => drop(self.blocks.insert(block, epochs.clone())),
            Some(known) if Arc::ptr_eq(known, epochs) || exceeds(known, epochs) => {}
            Some(known) => raise(Arc::make_mut(known), epochs),
        }
    }

    /// Learns what promises of threads hold that all knew the same.
    pub fn take(&mut self, promises: &[Promise]) {
        let Some(Promise { clock, .. }) = promises.first() else { return };
        self.join(&clock.foreign);
        self.join_block(clock.block, &clock.own);
        let Some(own) = self.blocks.get_mut(&clock.block).map(Arc::make_mut) else { return };
        for promise in promises {
            own[promise.thread] = promise.epoch.max(own[promise.thread]);
        }
    }

    fn covers(&self, block: u32, warp: usize, lanes: u32, epoch: u32) -> bool {
        self.blocks.get(&block).is_some_and(|epochs| all_reached(epochs, warp, lanes, epoch))
    }
}

/// Everything a thread did up to and in `epoch`, and what it knew by then.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    pub clock: Rc<Clock>,
    pub thread: usize,
    pub epoch: u32,
}

/// What a thread knows. Shared by all threads that know the same: after a barrier that is the block.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// The block of the thread itself.
    block: u32,
    /// For each thread of the block the last epoch that came before; threads are counted up to whole
    /// warps, those that do not exist are at the highest epoch.
    own: Arc<[u32]>,
    /// For each warp the lowest of its lanes' epochs.
    floors: Vec<u32>,
    foreign: Arc<Knowledge>,
}

impl Clock {
    /// Knows nothing of the `threads` of `block`.
    pub fn new(block: u32, threads: usize) -> Self {
        let padded = threads.next_multiple_of(LANES);
        let own = (0..padded).map(|thread| if thread < threads { 0 } else { u32::MAX }).collect();
        Self { block, own, floors: vec![0; padded / LANES], foreign: Arc::default() }
    }

    /// Did all that `lanes` of a warp of some block did up to `epoch` come before?
    #[inline]
    pub fn covers(&self, block: u32, warp: usize, lanes: u32, epoch: u32) -> bool {
        if block != self.block {
            return !self.foreign.is_empty() && self.foreign.covers(block, warp, lanes, epoch);
        }
        self.floors.get(warp).is_some_and(|&floor| epoch <= floor)
            || all_reached(&self.own, warp, lanes, epoch)
    }

    /// Is anything known of other blocks?
    #[inline(always)]
    pub fn knows_others(&self) -> bool {
        !self.foreign.is_empty()
    }

    /// Is all of `other` known?
    pub fn includes(&self, other: &Knowledge) -> bool {
        other.blocks.iter().all(|(&block, epochs)| {
            let known =
                if block == self.block { Some(&self.own) } else { self.foreign.blocks.get(&block) };
            known.is_some_and(|known| Arc::ptr_eq(known, epochs) || exceeds(known, epochs))
        })
    }

    /// Learns all that `other`, a clock of the same block, knows.
    pub fn join(&mut self, other: &Clock) {
        raise(Arc::make_mut(&mut self.own), &other.own);
        self.join_foreign(&other.foreign);
    }

    fn join_foreign(&mut self, other: &Arc<Knowledge>) {
        if self.foreign.is_empty() {
            self.foreign = other.clone();
        } else if !other.is_empty() && !Arc::ptr_eq(&self.foreign, other) {
            Arc::make_mut(&mut self.foreign).join(other);
        }
    }

    /// Learns what was handed on through memory.
    pub fn absorb(&mut self, other: &Knowledge) {
        for (&block, epochs) in &other.blocks {
            if block == self.block {
                raise(Arc::make_mut(&mut self.own), epochs);
            } else {
                Arc::make_mut(&mut self.foreign).join_block(block, epochs);
            }
        }
    }

    /// Learns that `thread` of the block came as far as `epoch`.
    pub fn reach(&mut self, threads: impl Iterator<Item = (usize, u32)>) {
        let own = Arc::make_mut(&mut self.own);
        for (thread, epoch) in threads {
            own[thread] = own[thread].max(epoch);
        }
    }

    /// To be called once after the changes above.
    pub fn settle(&mut self) {
        for (floor, lanes) in self.floors.iter_mut().zip(self.own.chunks_exact(LANES)) {
            *floor = lanes.iter().copied().fold(u32::MAX, u32::min);
        }
    }
}

fn raise(known: &mut [u32], other: &[u32]) {
    known.iter_mut().zip(other).for_each(|(known, &other)| *known = other.max(*known));
}

fn exceeds(known: &[u32], other: &[u32]) -> bool {
    known.iter().zip(other).all(|(known, other)| known >= other)
}

fn all_reached(epochs: &[u32], warp: usize, lanes: u32, epoch: u32) -> bool {
    super::access::lanes(lanes)
        .all(|lane| epochs.get(warp * LANES + lane).is_some_and(|&known| epoch <= known))
}
