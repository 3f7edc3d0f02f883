//! The race detector over global memory: one launch's record, shared by all host threads that run it.

use super::LANES;
use super::access::{Access, Scope, Strength, lanes};
use super::clock::Knowledge;
use super::order::Handed;
use super::refusal::{Verb, Want};
use super::shadow::{PAGE, Page, Pages};
use super::watch::{observe, watch, watch_bytes};
use crate::error::Checked;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Parties of a word kept beyond two. What all blocks only read (weights) would else keep every reader.
const MOST: usize = 6;

/// Locks over the addresses at which order is handed on.
const SHARDS: usize = 64;

/// A page is made when it is first touched.
type Slot = OnceLock<Box<Mutex<Page>>>;

/// Index of an allocation, offset in it, and its size.
pub(super) type Place = (usize, u64, u64);

/// Address of eight bytes, and the block inside which it was released; `None` for the device.
type Key = (u64, Option<u32>);

pub(super) struct Races {
    /// For each allocation its pages.
    pages: Vec<OnceLock<Box<[Slot]>>>,
    points: Vec<Mutex<HashMap<Key, Arc<Knowledge>>>>,
    /// Was anything handed on at all? Most kernels never do.
    any: AtomicBool,
}

/// Nothing panics while it holds a lock of these; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pages as one access goes through them: the last one looked up stays locked.
struct Locked<'a, F> {
    races: &'a Races,
    /// Where an address lies.
    find: F,
    /// Address at which the locked page begins.
    start: u64,
    page: Option<MutexGuard<'a, Page>>,
}

impl<F: Fn(u64) -> Option<Place>> Pages for Locked<'_, F> {
    #[inline]
    fn at(&mut self, address: u64) -> Option<(&mut Page, u64)> {
        if self.page.is_none() || address.wrapping_sub(self.start) >= PAGE {
            self.page = None;
            let (index, offset, size) = (self.find)(address)?;
            self.start = address - offset % PAGE;
            self.page = self.races.slot((index, offset / PAGE), size).map(lock);
        }
        let offset = address - self.start;
        self.page.as_deref_mut().map(|page| (page, offset))
    }
}

impl Races {
    pub fn new(allocations: usize) -> Self {
        Self {
            pages: (0..allocations).map(|_| OnceLock::new()).collect(),
            points: (0..SHARDS).map(|_| Mutex::default()).collect(),
            any: AtomicBool::new(false),
        }
    }

    /// Records an access, or reports the race it has. `find` gives the index, offset and size of the
    /// allocation an address lies in.
    pub fn watch(
        &self,
        verb: Verb,
        access: &Access,
        addresses: &[u64; LANES],
        width: u64,
        find: impl Fn(u64) -> Option<Place>,
    ) -> Checked<()> {
        watch(verb, access, addresses, width, MOST, self.pages(find))
    }

    /// The same of a copy of the machine's own.
    pub fn watch_bytes(
        &self,
        access: &Access,
        want: &Want,
        find: impl Fn(u64) -> Option<Place>,
    ) -> Checked<()> {
        watch_bytes(access, want, MOST, self.pages(find))
    }

    /// A strong read has seen what it has seen.
    pub fn observe(
        &self,
        verb: Verb,
        access: &Access,
        addresses: &[u64; LANES],
        width: u64,
        find: impl Fn(u64) -> Option<Place>,
    ) {
        observe(verb, access, addresses, width, self.pages(find));
    }

    fn pages<F>(&self, find: F) -> Locked<'_, F> {
        Locked { races: self, find, start: 0, page: None }
    }

    fn slot(&self, (index, page): (usize, u64), size: u64) -> Option<&Mutex<Page>> {
        let slots = self.pages.get(index)?.get_or_init(|| {
            (0..size.div_ceil(PAGE)).map(|_| OnceLock::new()).collect::<Box<[Slot]>>()
        });
        Some(slots.get(page as usize)?.get_or_init(Box::default))
    }

    /// Before a strong write: what the lanes' releases and fences hand on stays at the addresses.
    pub fn leave(
        &self,
        access: &mut Access,
        strength: Strength,
        addresses: &[u64; LANES],
        width: u64,
    ) {
        let Some(order) = access.order.as_deref_mut() else { return };
        for lane in lanes(access.mask) {
            let thread = access.first_thread as usize + lane;
            let Handed([block, device]) = order.left(thread, strength, access.scope);
            let left = [(block, Some(access.block)), (device, None)];
            for (promise, place) in left {
                let Some(promise) = promise else { continue };
                self.any.store(true, Relaxed);
                for address in eights(addresses[lane], width) {
                    let mut points = self.shard(address);
                    Arc::make_mut(points.entry((address, place)).or_default())
                        .take(std::slice::from_ref(&promise));
                }
            }
        }
    }

    /// After a strong read: the lanes have seen what stayed at the addresses.
    pub fn find(
        &self,
        access: &mut Access,
        strength: Strength,
        addresses: &[u64; LANES],
        width: u64,
    ) {
        let Some(order) = access.order.as_deref_mut() else { return };
        if !self.any.load(Relaxed) {
            return;
        }
        for lane in lanes(access.mask) {
            for address in eights(addresses[lane], width) {
                let points = self.shard(address);
                let block = points.get(&(address, Some(access.block))).cloned();
                let device = points.get(&(address, None)).cloned();
                drop(points);
                let device = device.filter(|_| access.scope == Scope::Device);
                let thread = access.first_thread as usize + lane;
                order.found(thread, strength, Handed([block, device]));
            }
        }
    }

    fn shard(&self, address: u64) -> MutexGuard<'_, HashMap<Key, Arc<Knowledge>>> {
        lock(&self.points[(address >> 3) as usize % SHARDS])
    }
}

/// The addresses of the eight-byte pieces an access touches: accesses of several widths that meet in
/// one piece hand on to each other, which orders a little more than is so.
fn eights(address: u64, width: u64) -> impl Iterator<Item = u64> {
    (address & !7..address.saturating_add(width)).step_by(8)
}
