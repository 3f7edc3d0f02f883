//! Whether a launch still moves: blocks that poll wait as long as any other host thread does something.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Rounds in which every warp of a block waits or polls, after which its host thread counts as standing still.
const PATIENT_ROUNDS: u32 = 1 << 14;
/// Further rounds with all host threads standing still, after which nothing will ever change. What another one wrote
/// before it stood still is seen by the first of them; a random order needs more to come to every warp.
const LAST_ROUNDS: u32 = 1 << 10;

/// The host threads of a launch.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    moving: AtomicUsize,
    stopped: AtomicBool,
}

impl Progress {
    /// So many host threads are about to start.
    pub fn start(&self, threads: usize) {
        self.moving.store(threads, Ordering::SeqCst);
    }

    /// A host thread is done.
    pub fn leave(&self) {
        self.moving.fetch_sub(1, Ordering::SeqCst);
    }

    /// A block broke a rule: no further one starts.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }
}

/// How long a block has waited for others.
pub(crate) struct Hope<'a> {
    progress: &'a Progress,
    rounds: u32,
    last_rounds: u32,
}

impl<'a> Hope<'a> {
    pub fn new(progress: &'a Progress) -> Self {
        Self { progress, rounds: 0, last_rounds: 0 }
    }

    /// Something was done.
    #[inline]
    pub fn restore(&mut self) {
        if self.stands_still() {
            self.progress.moving.fetch_add(1, Ordering::SeqCst);
        }
        (self.rounds, self.last_rounds) = (0, 0);
    }

    fn stands_still(&self) -> bool {
        self.rounds > PATIENT_ROUNDS
    }

    /// A round in which nothing was done: tells whether nothing ever will be.
    pub fn is_lost(&mut self) -> bool {
        if !self.stands_still() {
            self.rounds += 1;
            if self.stands_still() {
                self.progress.moving.fetch_sub(1, Ordering::SeqCst);
            }
            return false;
        }
        if self.progress.moving.load(Ordering::SeqCst) == 0 {
            self.last_rounds += 1;
        } else {
            self.last_rounds = 0;
            std::thread::yield_now();
        }
        self.last_rounds > LAST_ROUNDS
    }
}

impl Drop for Hope<'_> {
    /// The host thread goes on with another block, or leaves.
    fn drop(&mut self) {
        self.restore();
    }
}
