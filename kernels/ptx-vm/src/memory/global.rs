//! What a launch sees of global memory: the allocations alive when it began, checked at every access.

use super::LANES;
use super::access::{Access, Checks, Strength, lanes};
use super::cache::Cache;
use super::element::Element;
use super::live::{Allocation, Live};
use super::races::Races;
use super::refusal::{Verb, Want};
use super::region::{Reading, width};
use crate::error::{Checked, Rule};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// Global memory for one launch: all allocations alive when it was made. Host threads may share it;
/// each with its own clone finds allocations faster.
pub struct GlobalView {
    live: Arc<Live>,
    checks: Checks,
    races: Option<Arc<Races>>,
    cache: Option<Arc<Cache>>,
    hints: Hints,
}

/// Index of the allocation last found for the 64 KiB an address lies in, of which no two allocations
/// share any; a wrong one costs a search.
struct Hints([AtomicU32; 64]);

impl Hints {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU32::new(0)))
    }

    #[inline(always)]
    fn of(&self, address: u64) -> &AtomicU32 {
        &self.0[(address >> 16 ^ address >> 22) as usize % 64]
    }
}

impl Clone for GlobalView {
    fn clone(&self) -> Self {
        let (live, races, cache) = (self.live.clone(), self.races.clone(), self.cache.clone());
        Self { live, checks: self.checks, races, cache, hints: Hints::new() }
    }
}

impl GlobalView {
    pub(super) fn new(live: Arc<Live>) -> Self {
        let checks = Checks::default();
        Self { live, checks, races: None, cache: None, hints: Hints::new() }
    }

    /// The same with these checks; the record of races starts empty, as every launch does.
    pub fn with_checks(mut self, checks: Checks) -> Self {
        self.checks = checks;
        self.races = checks.races.then(|| Arc::new(Races::new(self.live.allocations.len())));
        self
    }

    /// The same, with the traffic of counted accesses taken through a simulated cache.
    pub fn with_cache(mut self, cache: Arc<Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// `N` consecutive elements of each active lane, row `k` with element `k` of all lanes; inactive
    /// lanes are zero.
    ///
    /// # Errors
    /// As for [`GlobalView::load_into`].
    #[inline]
    pub fn load<T: Element, const N: usize>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<[[T; LANES]; N]> {
        let mut values = [[T::default(); LANES]; N];
        self.load_into(access, addresses, &mut values)?;
        Ok(values)
    }

    /// Loads `N` consecutive elements of each active lane and leaves the places of the others alone.
    ///
    /// # Errors
    /// A lane that lies outside every allocation, in a freed one, at no multiple of the size of the `N`
    /// elements, reads bytes nobody wrote, or races. There may be anything in `to` then.
    #[inline]
    pub fn load_into<T: Element, const N: usize>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
        to: &mut [[T; LANES]; N],
    ) -> Checked<()> {
        let width = width::<T, N>();
        if !self.load_from_one(access, access.mask, addresses, to) {
            self.load_from_several(access, addresses, to)?;
        }
        if access.is_watched() {
            self.watch(Verb::Load, access, addresses, width)?;
        }
        if access.strength != Strength::Weak {
            self.after_strong_read(Verb::Load, access, access.strength, addresses, width);
        }
        Ok(())
    }

    /// Stores `N` consecutive elements of each active lane, later lanes over earlier ones.
    ///
    /// # Errors
    /// As for [`GlobalView::load`], and a constant; nothing is stored then.
    #[inline]
    pub fn store<T: Element, const N: usize>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
    ) -> Checked<()> {
        let width = width::<T, N>();
        let single = access.strength != Strength::Weak;
        let found = self.allocation(addresses[first(access.mask)]).filter(|a| !a.is_constant());
        let reach = found.and_then(|a| a.region.reach(access.mask, addresses, width));
        if reach.is_none() {
            self.check_lanes(Verb::Store, access.mask, addresses, width)?;
        }
        if access.is_watched() {
            access.find_repeating(addresses, values);
            self.watch(Verb::Store, access, addresses, width)?;
        }
        if single {
            self.before_strong_write(access, access.strength, addresses, width);
        }
        if let Some((allocation, reach)) = found.zip(reach) {
            // SAFETY: this region's reach, with this mask and width.
            unsafe { allocation.region.store(reach, access.mask, addresses, values, single) };
            return Ok(());
        }
        self.store_to_several(access.mask, addresses, values, single);
        Ok(())
    }

    /// Replaces the element of each active lane by `f(lane, element)`, lowest lane first, and returns
    /// the old ones. Each replacement is atomic for all host threads; `f` runs again where another one
    /// came between.
    ///
    /// # Errors
    /// As for [`GlobalView::store`]; nothing is replaced then.
    #[inline]
    pub fn atomic<T: Element>(
        &self,
        access: &mut Access,
        addresses: &[u64; LANES],
        f: impl FnMut(usize, T) -> T,
    ) -> Checked<[T; LANES]> {
        let width = width::<T, 1>();
        let found = self.allocation(addresses[first(access.mask)]).filter(|a| !a.is_constant());
        let reach = found.and_then(|a| Some((a, a.region.reach(access.mask, addresses, width)?)));
        let unwritten = |(a, reach): &(&Allocation, _)| {
            // SAFETY: this region's reach, with this mask and width.
            self.checks.unwritten
                && unsafe { !a.region.is_written(*reach, access.mask, addresses, width) }
        };
        if reach.as_ref().is_none_or(unwritten) {
            self.check_lanes(Verb::Update, access.mask, addresses, width)?;
        }
        if access.is_watched() {
            self.watch(Verb::Update, access, addresses, width)?;
        }
        let strength = access.strength.at_least_relaxed();
        self.before_strong_write(access, strength, addresses, width);
        let old = match reach {
            // SAFETY: this region's reach, with this mask and width.
            Some((a, reach)) => unsafe {
                a.region.update::<T, false>(reach, access.mask, addresses, f)
            },
            None => self.update_several(access.mask, addresses, f),
        };
        self.after_strong_read(Verb::Update, access, strength, addresses, width);
        Ok(old)
    }

    /// Copies bytes out for an operation of the machine's own (a row of a tensor copy), in the name of
    /// `lane`.
    ///
    /// # Errors
    /// As for [`GlobalView::load`], without alignment.
    pub fn copy_out(
        &self,
        access: &mut Access,
        lane: usize,
        from: u64,
        to: &mut [u8],
    ) -> Checked<()> {
        let want = Want { verb: Verb::Load, lane, address: from, width: to.len() as u64 };
        let Some(allocation) = self.bulk(access, &want)? else { return Ok(()) };
        allocation.region.storage.read(from - allocation.region.base, to);
        Ok(())
    }

    /// Copies bytes in, likewise.
    ///
    /// # Errors
    /// As for [`GlobalView::store`], without alignment.
    pub fn copy_in(&self, access: &mut Access, lane: usize, to: u64, from: &[u8]) -> Checked<()> {
        let want = Want { verb: Verb::Store, lane, address: to, width: from.len() as u64 };
        let Some(allocation) = self.bulk(access, &want)? else { return Ok(()) };
        allocation.region.storage.write(to - allocation.region.base, from);
        Ok(())
    }

    /// Checks and notes a bulk copy; `None` for one of no bytes.
    fn bulk(&self, access: &mut Access, want: &Want) -> Checked<Option<&Allocation>> {
        if want.width == 0 {
            return Ok(None);
        }
        let allocation = self.check_bytes(want)?;
        if let (Some(counts), cache) = (access.counts.as_deref_mut(), self.cache.as_deref()) {
            counts.bulk(want.verb, want.address, want.width, cache);
        }
        if let Some(races) = &self.races {
            races.watch_bytes(access, want, |address| self.place(address))?;
        }
        Ok(Some(allocation))
    }

    /// Bytes of one allocation are no longer written.
    pub fn forget(&self, address: u64, bytes: u64) {
        if let Some(allocation) = self.allocation(address) {
            let offset = address - allocation.region.base;
            allocation.region.storage.written.remove_all(offset, bytes);
        }
    }

    /// `false` if the lanes do not all lie in one allocation, or something is wrong.
    #[inline(always)]
    fn load_from_one<T: Element, const N: usize>(
        &self,
        access: &Access,
        mask: u32,
        addresses: &[u64; LANES],
        to: &mut [[T; LANES]; N],
    ) -> bool {
        let single = access.strength != Strength::Weak;
        let reading = Reading { written: self.checks.unwritten, single };
        let Some(allocation) = self.allocation(addresses[first(mask)]) else { return false };
        let reach = allocation.region.reach(mask, addresses, width::<T, N>());
        // SAFETY: this region's reach, with this mask and width.
        reach.is_some_and(|reach| unsafe {
            allocation.region.load(reach, mask, addresses, reading, to)
        })
    }

    /// The lanes point into several allocations, or one of them is wrong.
    #[cold]
    fn load_from_several<T: Element, const N: usize>(
        &self,
        access: &Access,
        addresses: &[u64; LANES],
        to: &mut [[T; LANES]; N],
    ) -> Checked<()> {
        self.check_lanes(Verb::Load, access.mask, addresses, width::<T, N>())?;
        for lane in lanes(access.mask) {
            self.load_from_one(access, 1 << lane, addresses, to);
        }
        Ok(())
    }

    /// The lanes, all in order, point into several allocations.
    #[cold]
    fn store_to_several<T: Element, const N: usize>(
        &self,
        mask: u32,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
        single: bool,
    ) {
        for lane in lanes(mask) {
            let Some(allocation) = self.allocation(addresses[lane]) else { continue };
            let one = allocation.region.reach(1 << lane, addresses, width::<T, N>());
            let Some(reach) = one else { continue };
            // SAFETY: this region's reach, with this mask and width.
            unsafe { allocation.region.store(reach, 1 << lane, addresses, values, single) };
        }
    }

    /// The lanes, all in order, point into several allocations.
    #[cold]
    fn update_several<T: Element>(
        &self,
        mask: u32,
        addresses: &[u64; LANES],
        mut f: impl FnMut(usize, T) -> T,
    ) -> [T; LANES] {
        let mut old = [T::default(); LANES];
        for lane in lanes(mask) {
            let Some(allocation) = self.allocation(addresses[lane]) else { continue };
            let one = allocation.region.reach(1 << lane, addresses, width::<T, 1>());
            let Some(reach) = one else { continue };
            // SAFETY: this region's reach, with this mask and width.
            old[lane] = unsafe {
                allocation.region.update::<T, false>(reach, 1 << lane, addresses, &mut f)
            }[lane];
        }
        old
    }

    /// The first thing wrong with the lanes, in their order.
    fn check_lanes(
        &self,
        verb: Verb,
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Checked<()> {
        for lane in lanes(mask) {
            let want = Want { verb, lane, address: addresses[lane], width };
            if want.address & (width - 1) != 0 {
                return want.misaligned().map_or(Ok(()), Err);
            }
            self.check_bytes(&want)?;
        }
        Ok(())
    }

    /// The allocation in which the bytes lie as they should.
    fn check_bytes(&self, want: &Want) -> Checked<&Allocation> {
        let Some(allocation) = self.allocation(want.address) else {
            let (below, above) = self.live.around(want.address);
            let freed = self.live.freed(want.address);
            return Err(want.nowhere(freed, below, above));
        };
        let region = &allocation.region;
        if let Some(violation) =
            want.outside(region, &format!("the allocation at 0x{:x}", region.base))
        {
            return Err(violation);
        }
        if want.verb.writes() && allocation.is_constant() {
            return Err(want.refused(Rule::ReadOnly, "constant memory is written by the host only"));
        }
        let read = self.checks.unwritten && want.verb != Verb::Store;
        match read.then(|| want.unwritten(region)).flatten() {
            Some(violation) => Err(violation),
            None => Ok(allocation),
        }
    }

    #[inline(always)]
    fn allocation(&self, address: u64) -> Option<&Allocation> {
        self.locate(address).map(|(_, allocation)| allocation)
    }

    /// The allocation that holds an address, with its index.
    #[inline(always)]
    fn locate(&self, address: u64) -> Option<(usize, &Allocation)> {
        let hint = self.hints.of(address).load(Ordering::Relaxed) as usize;
        match self.live.allocations.get(hint) {
            Some(allocation) if allocation.holds(address) => Some((hint, allocation)),
            _ => self.search(address),
        }
    }

    #[inline(never)]
    fn search(&self, address: u64) -> Option<(usize, &Allocation)> {
        let index = self.live.index(address)?;
        self.hints.of(address).store(index as u32, Ordering::Relaxed);
        Some((index, &self.live.allocations[index]))
    }

    /// Counts an access that is in order, and shows it to the race detector.
    #[inline(never)]
    fn watch(
        &self,
        verb: Verb,
        access: &mut Access,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Checked<()> {
        self.watch_races(verb, access, addresses, width)?;
        if let Some(counts) = access.counts.as_deref_mut() {
            counts.global(verb, access.mask, addresses, width, self.cache.as_deref());
        }
        Ok(())
    }

    fn watch_races(
        &self,
        verb: Verb,
        access: &Access,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Checked<()> {
        let Some(races) = &self.races else { return Ok(()) };
        races.watch(verb, access, addresses, width, |address| self.place(address))
    }

    /// Index of the allocation that holds an address, offset in it, and its size.
    fn place(&self, address: u64) -> Option<(usize, u64, u64)> {
        let (index, allocation) = self.locate(address)?;
        Some((index, address - allocation.region.base, allocation.region.size()))
    }

    /// The host's part of a release (free on x86-64), and the detector's.
    fn before_strong_write(
        &self,
        access: &mut Access,
        strength: Strength,
        addresses: &[u64; LANES],
        width: u64,
    ) {
        fence(Ordering::Release);
        if let Some(races) = &self.races {
            races.leave(access, strength, addresses, width);
        }
    }

    /// The same of an acquire.
    fn after_strong_read(
        &self,
        verb: Verb,
        access: &mut Access,
        strength: Strength,
        addresses: &[u64; LANES],
        width: u64,
    ) {
        fence(Ordering::Acquire);
        if let Some(races) = &self.races {
            races.observe(verb, access, addresses, width, |address| self.place(address));
            races.find(access, strength, addresses, width);
        }
    }
}

/// The lowest lane of a mask.
#[inline(always)]
fn first(mask: u32) -> usize {
    mask.trailing_zeros() as usize % LANES
}
