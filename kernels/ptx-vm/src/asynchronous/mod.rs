//! What a block has started and not waited for: copies, bulk copies, matrix products, and the mbarriers they report to.
//!
//! Every effect on shared memory comes as late as PTX allows, at the wait that makes it visible. Until then the bytes
//! it will write count as unwritten, so a wait too few is found on every run.

/// Bulk copies in both directions.
mod bulk;
/// `cp.async` of a warp.
mod copies;
/// An mbarrier.
mod mbarrier;
/// `wgmma` of a warp.
mod products;

use std::collections::BTreeMap;

pub use bulk::{BulkLoad, BulkStore, Place, Reduction, Stores};
pub use copies::{Copies, Copy};
pub use mbarrier::{Effect, MOST, Mbarrier, pending_of, phase_of};
pub use products::{IN_FLIGHT, Piece, Product, Products};

/// All that is pending in a block.
#[derive(Debug, Default)]
pub struct Asynchronous {
    /// For each warp its `cp.async`.
    pub copies: Vec<Copies>,
    /// For each warp its `wgmma`.
    pub products: Vec<Products>,
    /// By their address in shared memory.
    pub mbarriers: BTreeMap<u64, Mbarrier>,
    /// Bulk copies out of shared memory.
    pub stores: Stores,
}

impl Asynchronous {
    /// The next block, of so many warps, starts: what the last one left is forgotten.
    pub fn start(&mut self, warps: usize) {
        self.copies.resize_with(warps, Copies::default);
        self.copies.iter_mut().for_each(Copies::clear);
        self.products.resize_with(warps, Products::default);
        self.products.iter_mut().for_each(Products::clear);
        self.mbarriers.clear();
        self.stores.clear();
    }

    /// The number of the instruction that started the copy which brings the byte of shared memory at `address`.
    pub fn copy_into(&self, address: u64) -> Option<u32> {
        let copies = self.copies.iter().find_map(|copies| copies.into(address));
        copies.or_else(|| self.mbarriers.values().find_map(|barrier| barrier.into(address)))
    }

    /// What the mbarriers wait for, for the report of a deadlock; empty if none has begun a phase.
    pub fn outstanding(&self) -> String {
        let waiting = self.mbarriers.iter().filter_map(|(address, barrier)| {
            barrier.outstanding().map(|what| format!("; mbarrier 0x{address:x}: {what}"))
        });
        waiting.take(4).collect()
    }
}
