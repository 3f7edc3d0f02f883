//! Memory of one thread: spilled arrays, stacks. The threads of a block have theirs in one region.

use super::LANES;
use super::access::{Access, Checks};
use super::element::Element;
use super::reach::{Reach, reaches};
use super::refusal::{Verb, Want};
use super::region::{Reading, Region, width};
use crate::error::{Checked, Rule, Violation};

/// The local memory of a block's threads; addresses are offsets in that of the thread.
pub struct Local {
    region: Region,
    unwritten: bool,
    /// Bytes of a thread.
    bytes: u64,
    /// Bytes from one thread to the next.
    stride: u64,
}

impl Local {
    /// `bytes` for each of `threads`, none written; `None` where the host has no memory.
    pub fn new(threads: u32, bytes: u64, checks: Checks) -> Option<Self> {
        let stride = bytes.checked_next_multiple_of(32)?;
        let region = Region::new(0, stride.checked_mul(u64::from(threads))?)?;
        Some(Self { region, unwritten: checks.unwritten, bytes, stride })
    }

    /// The next block starts: nothing is written.
    pub fn reset(&mut self) {
        self.region.storage.written.remove_all(0, self.region.size());
    }

    /// Copies bytes of a thread, and which of them were written.
    pub fn copy(&mut self, thread: u32, from: u32, to: u32, bytes: u32) {
        let start = u64::from(thread) * self.stride;
        let (from, to) = (start + u64::from(from), start + u64::from(to));
        let mut content = vec![0; bytes as usize];
        let storage = &self.region.storage;
        storage.read(from, &mut content);
        storage.put(to, &content);
        storage.written.copy(to, &storage.written, from, u64::from(bytes));
    }

    /// Bytes of a thread are no longer written.
    pub fn forget(&mut self, thread: u32, at: u32, bytes: u32) {
        let start = u64::from(thread) * self.stride + u64::from(at);
        self.region.storage.written.remove_all(start, u64::from(bytes));
    }

    /// As [`super::GlobalView::load`].
    ///
    /// # Errors
    /// As for [`Local::load_into`].
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
    /// A lane lies outside, at no multiple of the size of the `N` elements, or reads bytes nobody wrote.
    #[inline]
    pub fn load_into<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        to: &mut [[T; LANES]; N],
    ) -> Checked<()> {
        let (mask, width) = (access.mask, width::<T, N>());
        let reading = Reading { written: self.unwritten, single: false };
        let reach = self.reach(access, addresses, width);
        // SAFETY: this region's reach, with this mask and width.
        if !reach
            .is_some_and(|reach| unsafe { self.region.load(reach, mask, addresses, reading, to) })
        {
            return Err(self.refusal(Verb::Load, access, addresses, width));
        }
        Ok(())
    }

    /// As [`super::GlobalView::store`].
    ///
    /// # Errors
    /// A lane lies outside or at no multiple of the size of the `N` elements; nothing is stored then.
    #[inline]
    pub fn store<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
    ) -> Checked<()> {
        let width = width::<T, N>();
        let Some(reach) = self.reach(access, addresses, width) else {
            return Err(self.refusal(Verb::Store, access, addresses, width));
        };
        // SAFETY: this region's reach, with this mask and width.
        unsafe { self.region.store(reach, access.mask, addresses, values, false) };
        Ok(())
    }

    /// As [`super::GlobalView::atomic`]: generic addresses may lead here.
    ///
    /// # Errors
    /// As for [`Local::load_into`]; nothing is replaced then.
    #[inline]
    pub fn atomic<T: Element>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        f: impl FnMut(usize, T) -> T,
    ) -> Checked<[T; LANES]> {
        let (mask, width) = (access.mask, width::<T, 1>());
        let reach = self.reach(access, addresses, width).filter(|reach| {
            // SAFETY: this region's reach, with this mask and width.
            !self.unwritten || unsafe { self.region.is_written(*reach, mask, addresses, width) }
        });
        let Some(reach) = reach else {
            return Err(self.refusal(Verb::Update, access, addresses, width));
        };
        // SAFETY: as above.
        Ok(unsafe { self.region.update::<T, true>(reach, mask, addresses, f) })
    }

    /// Where the lanes' offsets lie in the region, all inside their threads' parts.
    #[inline(always)]
    fn reach(&self, access: &Access, addresses: &[u64; LANES], width: u64) -> Option<Reach> {
        let own = (self.start(access, 0), self.stride);
        let last = self.start(access, 31 - access.mask.leading_zeros() as usize % LANES);
        let exists = last < self.region.size() || self.bytes == 0;
        exists.then(|| Reach::of_own(access.mask, addresses, width, self.bytes, own)).flatten()
    }

    #[inline(always)]
    fn start(&self, access: &Access, lane: usize) -> u64 {
        (u64::from(access.first_thread) + lane as u64) * self.stride
    }

    /// What is wrong: called once it is known that something is.
    #[cold]
    fn refusal(
        &self,
        verb: Verb,
        access: &Access,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Box<Violation> {
        super::refusal::first(verb, access.mask, addresses, width, |want| {
            want.misaligned().or_else(|| self.outside(want)).or_else(|| {
                let at = self.start(access, want.lane) + want.address;
                let read = self.unwritten && want.verb != Verb::Store;
                let written = &self.region.storage.written;
                let missing = read.then(|| written.first_missing(at, want.width)).flatten()?;
                let why = format!("nobody wrote byte {} of it", missing - at);
                Some(want.refused(Rule::Unwritten, why))
            })
        })
    }

    fn outside(&self, want: &Want) -> Option<Box<Violation>> {
        let fits = reaches(want.address, want.width, self.bytes);
        let why = || format!("outside the {} bytes of the thread's local memory", self.bytes);
        (!fits).then(|| want.refused(Rule::OutOfBounds, why()))
    }
}
