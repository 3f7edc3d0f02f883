//! Bulk copies: those into shared memory report to an mbarrier, those out of it belong to groups of their thread.

use std::collections::{BTreeMap, VecDeque};

use crate::memory::Snapshot;
use crate::tensor_map::{MOST_DIMENSIONS, TensorMap};

/// The side of a bulk copy that lies in global memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Bytes in a row from this address on.
    Row(u64),
    /// A box of a tensor.
    Tile(Box<TensorMap>, [i32; MOST_DIMENSIONS]),
}

/// A bulk copy into shared memory.
#[derive(Debug)]
pub struct BulkLoad {
    /// Where in shared memory.
    pub to: u64,
    /// What was read at the start, as it will lie there.
    pub bytes: Vec<u8>,
    pub from: Place,
    /// Linear number in the block of the thread that started it.
    pub thread: u32,
    /// Number of the instruction.
    pub pc: u32,
    /// What the thread had done by then.
    pub done: Option<Snapshot>,
}

impl BulkLoad {
    pub(super) fn covers(&self, address: u64) -> bool {
        (self.to..self.to + self.bytes.len() as u64).contains(&address)
    }
}

/// A bulk copy, or reduction, out of shared memory.
#[derive(Debug)]
pub struct BulkStore {
    pub from: u64,
    /// What lay there at the start.
    pub bytes: Vec<u8>,
    pub to: Place,
    /// How it is combined with what lies in global memory.
    pub reduction: Option<Reduction>,
    pub thread: u32,
    pub pc: u32,
    /// Shared memory has been read: it may change.
    pub read: bool,
    /// Global memory has been written.
    pub written: bool,
}

/// What a reduction does with two elements of one type.
#[derive(Debug, Clone, Copy)]
pub struct Reduction {
    /// Bytes of an element.
    pub bytes: usize,
    /// New bits from those in memory and those that are added.
    pub combine: fn(u64, u64) -> u64,
}

/// Bulk stores of one thread.
#[derive(Debug, Default)]
pub struct Groups {
    open: Vec<BulkStore>,
    /// Closed groups, the oldest first, as far as they are not complete.
    closed: VecDeque<Vec<BulkStore>>,
}

/// Bulk stores of all threads of a block that have any.
#[derive(Debug, Default)]
pub struct Stores(BTreeMap<u32, Groups>);

impl Stores {
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Starts a store in the open group of its thread.
    pub fn start(&mut self, store: BulkStore) {
        self.0.entry(store.thread).or_default().open.push(store);
    }

    /// Closes the open group of a thread.
    pub fn commit(&mut self, thread: u32) {
        let groups = self.0.entry(thread).or_default();
        let group = std::mem::take(&mut groups.open);
        groups.closed.push_back(group);
    }

    /// The stores in all but the last `allowed` closed groups of a thread, complete from now on.
    pub fn take(&mut self, thread: u32, allowed: usize) -> Vec<BulkStore> {
        let Some(groups) = self.0.get_mut(&thread) else { return Vec::new() };
        let due = groups.closed.len().saturating_sub(allowed);
        groups.closed.drain(..due).flatten().collect()
    }

    /// The same stores, which stay: only their shared memory has been read.
    pub fn peek(&mut self, thread: u32, allowed: usize) -> impl Iterator<Item = &mut BulkStore> {
        let groups = self.0.get_mut(&thread);
        let closed = groups.into_iter().flat_map(move |groups| {
            let due = groups.closed.len().saturating_sub(allowed);
            groups.closed.iter_mut().take(due)
        });
        closed.flatten()
    }

    /// All that is left when the block ends, thread by thread.
    pub fn take_all(&mut self) -> Vec<BulkStore> {
        let groups = std::mem::take(&mut self.0).into_values();
        groups.flat_map(|groups| groups.closed.into_iter().flatten().chain(groups.open)).collect()
    }
}
