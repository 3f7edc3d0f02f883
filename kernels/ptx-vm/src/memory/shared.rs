//! Memory of one block. One host thread runs a block, so nothing here need be atomic between threads.

use super::LANES;
use super::access::{Access, Checks, Strength, lanes};
use super::element::Element;
use super::reach::reaches;
use super::refusal::{Verb, Want};
use super::region::{Reading, Region, width};
use super::shadow::{PAGE, Page, Pages};
use super::watch::{observe, watch, watch_bytes};
use super::written::Written;
use crate::error::{Checked, Rule, Violation};

/// Parties of a word kept beyond two: each warp of a block in a few epochs.
const MOST: usize = 128;
const NAME: &str = "shared memory";

/// The shared memory of a block, static and dynamic; addresses are offsets from its start.
pub struct Shared {
    region: Region,
    checks: Checks,
    /// The race detector's record.
    pages: Vec<Page>,
    /// What ordinary stores wrote since the last proxy fence, where that is watched.
    generic: Option<Written>,
}

impl Pages for &mut Vec<Page> {
    #[inline]
    fn at(&mut self, address: u64) -> Option<(&mut Page, u64)> {
        Some((self.get_mut((address / PAGE) as usize)?, address % PAGE))
    }
}

impl Shared {
    /// `bytes` of them, none written; `None` where the host has no memory.
    pub fn new(bytes: u64, checks: Checks) -> Option<Self> {
        let count = if checks.races { bytes.div_ceil(PAGE) } else { 0 };
        let pages = (0..count).map(|_| Page::default()).collect();
        Some(Self { region: Region::new(0, bytes)?, checks, pages, generic: None })
    }

    /// From now on reads by the asynchronous proxy are checked for the fence they need. `None` where the host has no
    /// memory.
    pub fn watch_proxies(&mut self) -> Option<()> {
        self.generic = Some(Written::new(self.region.size())?);
        Some(())
    }

    /// `fence.proxy.async`: what was stored before may be read by the asynchronous proxy. (A fence by any thread counts
    /// for the stores of all.)
    pub fn fence_proxies(&mut self) {
        if let Some(generic) = &self.generic {
            generic.remove_all(0, self.region.size());
        }
    }

    pub fn size(&self) -> u64 {
        self.region.size()
    }

    /// The next block starts: nothing is written, nobody touched anything.
    pub fn reset(&mut self) {
        self.region.storage.written.remove_all(0, self.region.size());
        self.pages.iter_mut().for_each(Page::clear);
        self.fence_proxies();
    }

    /// Zeros that were there before anybody came.
    pub fn clear(&mut self, from: u64, bytes: u64) {
        if reaches(from, bytes, self.region.size()) {
            self.region.storage.write(from, &vec![0; bytes as usize]);
        }
    }

    /// Ordinary stores of the lanes.
    #[inline(always)]
    fn stored(&self, mask: u32, addresses: &[u64; LANES], width: u64) {
        if let Some(generic) = &self.generic {
            lanes(mask).for_each(|lane| generic.add_all(addresses[lane], width));
        }
    }

    /// As [`super::GlobalView::load`].
    ///
    /// # Errors
    /// As for [`Shared::load_into`].
    #[inline]
    pub fn load<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<[[T; LANES]; N]> {
        let mut values = [[T::default(); LANES]; N];
        self.load_into(access, addresses, &mut values)?;
        Ok(values)
    }

    /// As [`super::GlobalView::load_into`].
    ///
    /// # Errors
    /// A lane lies outside, at no multiple of the size of the `N` elements, reads bytes nobody wrote, or
    /// races. There may be anything in `to` then.
    #[inline]
    pub fn load_into<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        to: &mut [[T; LANES]; N],
    ) -> Checked<()> {
        let (mask, width) = (access.mask, width::<T, N>());
        let reading = Reading { written: self.checks.unwritten, single: false };
        let reach = self.region.reach(mask, addresses, width);
        // SAFETY: this region's reach, with this mask and width.
        if !reach
            .is_some_and(|reach| unsafe { self.region.load(reach, mask, addresses, reading, to) })
        {
            return Err(self.refusal(Verb::Load, mask, addresses, width));
        }
        if access.is_watched() {
            self.watch(Verb::Load, access, addresses, width)?;
            self.after_strong_read(Verb::Load, access, access.strength, addresses, width);
        }
        Ok(())
    }

    /// As [`super::GlobalView::store`].
    ///
    /// # Errors
    /// As for [`Shared::load`]; nothing is stored then.
    #[inline]
    pub fn store<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
    ) -> Checked<()> {
        let (mask, width) = (access.mask, width::<T, N>());
        let Some(reach) = self.region.reach(mask, addresses, width) else {
            return Err(self.refusal(Verb::Store, mask, addresses, width));
        };
        if access.is_watched() {
            access.find_repeating(addresses, values);
            self.watch(Verb::Store, access, addresses, width)?;
            self.before_strong_write(access, access.strength, addresses);
        }
        // SAFETY: this region's reach, with this mask and width.
        unsafe { self.region.store(reach, mask, addresses, values, false) };
        self.stored(mask, addresses, width);
        Ok(())
    }

    /// As [`super::GlobalView::atomic`].
    ///
    /// # Errors
    /// As for [`Shared::load`]; nothing is replaced then.
    #[inline]
    pub fn atomic<T: Element>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        f: impl FnMut(usize, T) -> T,
    ) -> Checked<[T; LANES]> {
        let (mask, width) = (access.mask, width::<T, 1>());
        let refused = |shared: &Self| Err(shared.refusal(Verb::Update, mask, addresses, width));
        let Some(reach) = self.region.reach(mask, addresses, width) else { return refused(self) };
        // SAFETY: this region's reach, with this mask and width.
        if self.checks.unwritten
            && unsafe { !self.region.is_written(reach, mask, addresses, width) }
        {
            return refused(self);
        }
        let strength = access.strength.at_least_relaxed();
        if access.is_watched() {
            self.watch(Verb::Update, access, addresses, width)?;
            self.before_strong_write(access, strength, addresses);
        }
        // SAFETY: this region's reach, with this mask and width.
        let old = unsafe { self.region.update::<T, true>(reach, mask, addresses, f) };
        if access.is_watched() {
            self.after_strong_read(Verb::Update, access, strength, addresses, width);
        }
        Ok(old)
    }

    /// Copies bytes out for an operation of the machine's own, in the name of `lane`.
    ///
    /// # Errors
    /// As for [`Shared::load`], without alignment.
    pub fn copy_out(
        &mut self,
        access: &Access,
        lane: usize,
        from: u64,
        to: &mut [u8],
    ) -> Checked<()> {
        let want = Want { verb: Verb::Load, lane, address: from, width: to.len() as u64 };
        self.bulk(access, &want)?;
        self.region.storage.read(from, to);
        Ok(())
    }

    /// [`Shared::copy_out`] by the asynchronous proxy.
    ///
    /// # Errors
    /// As there, and bytes that were stored by ordinary means with no proxy fence since.
    pub fn async_out(
        &mut self,
        access: &Access,
        lane: usize,
        from: u64,
        to: &mut [u8],
    ) -> Checked<()> {
        self.copy_out(access, lane, from, to)?;
        let bytes = to.len() as u64;
        let stored = self.generic.as_ref().and_then(|generic| generic.first(from, bytes));
        let Some(address) = stored else { return Ok(()) };
        let message = format!(
            "shared memory at 0x{address:x} was stored to and is read by the asynchronous proxy with no \
             fence.proxy.async between"
        );
        Err(Box::new(Violation::at(Rule::Asynchronous, lane as u32, address, message)))
    }

    /// [`Shared::async_out`] of many pieces of 16 bytes in the name of lane 0: fast where all is in order.
    ///
    /// # Errors
    /// As there.
    pub fn async_pieces(
        &mut self,
        access: &Access,
        from: &[u64],
        to: &mut [[u8; 16]],
    ) -> Checked<()> {
        for (&from, to) in from.iter().zip(to) {
            let storage = &self.region.storage;
            let good = access.order.is_none()
                && reaches(from, 16, self.region.size())
                && (!self.checks.unwritten || storage.written.has_all(from, 16))
                && self.generic.as_ref().is_none_or(|generic| generic.first(from, 16).is_none());
            match good {
                true => storage.read(from, to),
                false => self.async_out(access, 0, from, to)?,
            }
        }
        Ok(())
    }

    /// Copies bytes in, likewise.
    ///
    /// # Errors
    /// As for [`Shared::store`], without alignment.
    pub fn copy_in(&mut self, access: &Access, lane: usize, to: u64, from: &[u8]) -> Checked<()> {
        let want = Want { verb: Verb::Store, lane, address: to, width: from.len() as u64 };
        self.bulk(access, &want)?;
        self.region.storage.write(to, from);
        Ok(())
    }

    /// An asynchronous copy into `bytes` bytes was started by `lane`: until [`Shared::deliver`] brings
    /// them they count as unwritten. For the race detector this is the write; a snapshot of the
    /// thread's order taken now is what the end of the copy hands on.
    ///
    /// # Errors
    /// The bytes lie outside, or the write races.
    pub fn poison(&mut self, access: &Access, lane: usize, to: u64, bytes: u64) -> Checked<()> {
        let want = Want { verb: Verb::Store, lane, address: to, width: bytes };
        self.bulk(access, &want)?;
        self.region.storage.written.remove_all(to, bytes);
        Ok(())
    }

    /// Brings bytes of an asynchronous copy, which [`Shared::poison`] has announced.
    ///
    /// # Errors
    /// The bytes lie outside.
    pub fn deliver(&mut self, lane: usize, to: u64, from: &[u8]) -> Checked<()> {
        let want = Want { verb: Verb::Store, lane, address: to, width: from.len() as u64 };
        want.outside(&self.region, NAME).map_or(Ok(()), Err)?;
        self.region.storage.write(to, from);
        if let Some(generic) = &self.generic {
            generic.remove_all(to, from.len() as u64);
        }
        Ok(())
    }

    /// [`Shared::poison`] for `N` elements at the address of each active lane; counted as a store.
    ///
    /// # Errors
    /// As for [`Shared::store`].
    pub fn poison_lanes<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<()> {
        let (mask, width) = (access.mask, super::region::width::<T, N>());
        if self.region.reach(mask, addresses, width).is_none() {
            return Err(self.refusal(Verb::Store, mask, addresses, width));
        }
        if access.is_watched() {
            self.watch(Verb::Store, access, addresses, width)?;
        }
        let written = &self.region.storage.written;
        lanes(mask).for_each(|lane| written.remove_all(addresses[lane], width));
        Ok(())
    }

    /// [`Shared::deliver`] for the active lanes. Where the access carries an order, this is a second write for the
    /// race detector: who reads the bytes has to come after it.
    ///
    /// # Errors
    /// A lane lies outside, or the write races.
    pub fn deliver_lanes<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
    ) -> Checked<()> {
        let (mask, width) = (access.mask, super::region::width::<T, N>());
        let Some(reach) = self.region.reach(mask, addresses, width) else {
            return Err(self.refusal(Verb::Store, mask, addresses, width));
        };
        if access.is_watched() {
            self.watch(Verb::Store, access, addresses, width)?;
        }
        // SAFETY: this region's reach, with this mask and width.
        unsafe { self.region.store(reach, mask, addresses, values, false) };
        self.stored(mask, addresses, width);
        Ok(())
    }

    /// Checks a bulk access and shows it to the race detector.
    fn bulk(&mut self, access: &Access, want: &Want) -> Checked<()> {
        want.outside(&self.region, NAME).map_or(Ok(()), Err)?;
        if self.checks.unwritten && want.verb == Verb::Load {
            want.unwritten(&self.region).map_or(Ok(()), Err)?;
        }
        watch_bytes(access, want, MOST, &mut self.pages)
    }

    /// What is wrong: called once it is known that something is.
    #[cold]
    fn refusal(
        &self,
        verb: Verb,
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Box<Violation> {
        super::refusal::first(verb, mask, addresses, width, |want| {
            want.refusal(&self.region, NAME, self.checks.unwritten)
        })
    }

    #[inline(never)]
    fn watch(
        &mut self,
        verb: Verb,
        access: &mut Access,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Checked<()> {
        if !self.pages.is_empty() {
            watch(verb, access, addresses, width, MOST, &mut self.pages)?;
        }
        if let Some(counts) = access.counts.as_deref_mut() {
            counts.shared(verb, access.mask, addresses, width);
        }
        Ok(())
    }

    fn before_strong_write(
        &self,
        access: &mut Access,
        strength: Strength,
        addresses: &[u64; LANES],
    ) {
        let (mask, first, scope) = (access.mask, access.first_thread as usize, access.scope);
        let Some(order) = access.order.as_deref_mut() else { return };
        if strength != Strength::Weak {
            lanes(mask).for_each(|l| order.leave_shared(addresses[l], first + l, strength, scope));
        }
    }

    fn after_strong_read(
        &mut self,
        verb: Verb,
        access: &mut Access,
        strength: Strength,
        addresses: &[u64; LANES],
        width: u64,
    ) {
        if strength != Strength::Weak {
            observe(verb, access, addresses, width, &mut self.pages);
            let (mask, first) = (access.mask, access.first_thread as usize);
            let Some(order) = access.order.as_deref_mut() else { return };
            lanes(mask).for_each(|l| order.find_shared(addresses[l], first + l, strength));
        }
    }
}
