//! Which allocations of global memory are alive, and where others were.

use super::region::Region;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// A range of global memory.
pub(super) struct Allocation {
    pub region: Region,
    constant: AtomicBool,
}

impl Allocation {
    pub fn new(region: Region) -> Self {
        Self { region, constant: AtomicBool::new(false) }
    }

    pub fn make_constant(&self) {
        self.constant.store(true, Relaxed);
    }

    /// Kernels may only read it.
    #[inline(always)]
    pub fn is_constant(&self) -> bool {
        self.constant.load(Relaxed)
    }

    #[inline(always)]
    pub fn holds(&self, address: u64) -> bool {
        address.wrapping_sub(self.region.base) < self.region.size()
    }
}

/// The allocations alive at a moment, in the order of their addresses.
#[derive(Clone, Default)]
pub(super) struct Live {
    pub allocations: Vec<Arc<Allocation>>,
    /// Base and size of all that were freed, in the order of their addresses: looked into for reports only.
    freed: Arc<Mutex<Vec<(u64, u64)>>>,
}

impl Live {
    /// Index of the allocation that holds an address.
    pub fn index(&self, address: u64) -> Option<usize> {
        let index = self.above(address).checked_sub(1)?;
        self.allocations[index].holds(address).then_some(index)
    }

    /// Index of the first allocation that starts past an address.
    fn above(&self, address: u64) -> usize {
        self.allocations.partition_point(|allocation| allocation.region.base <= address)
    }

    /// The allocations below and above an address.
    pub fn around(&self, address: u64) -> (Option<&Region>, Option<&Region>) {
        let above = self.above(address);
        let region = |index: usize| self.allocations.get(index).map(|a| &a.region);
        (above.checked_sub(1).and_then(region), region(above))
    }

    /// Base and size of the freed allocation an address lies in.
    pub fn freed(&self, address: u64) -> Option<(u64, u64)> {
        let freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        let index = freed.partition_point(|&(base, _)| base <= address).checked_sub(1)?;
        Some(freed[index]).filter(|(base, size)| address - base < *size)
    }

    pub fn forget(&mut self, index: usize) {
        let region = &self.allocations.remove(index).region;
        let mut freed = self.freed.lock().unwrap_or_else(PoisonError::into_inner);
        let at = freed.partition_point(|&(base, _)| base < region.base);
        freed.insert(at, (region.base, region.size()));
    }
}
