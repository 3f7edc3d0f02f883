//! Memory of one thread: spilled arrays, stacks. The threads of a block have theirs in one region.

use super::LANES;
use super::access::{Access, Checks, lanes};
use super::element::Element;
use super::reach::reaches;
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

    /// As [`super::GlobalView::load`].
    ///
    /// # Errors
    /// A lane lies outside, at no multiple of the size of the `N` elements, or reads bytes nobody wrote.
    #[inline]
    pub fn load<T: Element, const N: usize>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
    ) -> Checked<[[T; LANES]; N]> {
        let width = width::<T, N>();
        let reading = Reading { written: self.unwritten, single: false };
        let places = self.places(Verb::Load, access, addresses, width)?;
        let reach = self.region.reach(access.mask, &places, width);
        // SAFETY: this region's reach, with this mask and width.
        let values =
            reach.and_then(|reach| unsafe { self.region.load(&reach, access.mask, reading) });
        values.ok_or_else(|| self.refusal(Verb::Load, access, addresses, width))
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
        let places = self.places(Verb::Store, access, addresses, width)?;
        let Some(reach) = self.region.reach(access.mask, &places, width) else {
            return Err(self.refusal(Verb::Store, access, addresses, width));
        };
        // SAFETY: this region's reach, with this mask and width.
        unsafe { self.region.store(&reach, access.mask, values, false) };
        Ok(())
    }

    /// As [`super::GlobalView::atomic`]: generic addresses may lead here.
    ///
    /// # Errors
    /// As for [`Local::load`]; nothing is replaced then.
    #[inline]
    pub fn atomic<T: Element>(
        &mut self,
        access: &mut Access,
        addresses: &[u64; LANES],
        f: impl FnMut(usize, T) -> T,
    ) -> Checked<[T; LANES]> {
        let width = width::<T, 1>();
        let places = self.places(Verb::Update, access, addresses, width)?;
        let reach = self
            .region
            .reach(access.mask, &places, width)
            .filter(|reach| !self.unwritten || self.region.is_written(reach, access.mask, width));
        let Some(reach) = reach else {
            return Err(self.refusal(Verb::Update, access, addresses, width));
        };
        // SAFETY: this region's reach, with this mask and width.
        Ok(unsafe { self.region.update::<T, true>(&reach, access.mask, f) })
    }

    /// Where the lanes' offsets lie in the region, all inside their threads' parts.
    #[inline(always)]
    fn places(
        &self,
        verb: Verb,
        access: &Access,
        addresses: &[u64; LANES],
        width: u64,
    ) -> Checked<[u64; LANES]> {
        let mut places = [0; LANES];
        let mut inside = true;
        for lane in lanes(access.mask) {
            inside &= reaches(addresses[lane], width, self.bytes);
            places[lane] = self.start(access, lane).wrapping_add(addresses[lane]);
        }
        if inside { Ok(places) } else { Err(self.refusal(verb, access, addresses, width)) }
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
                let start = self.start(access, want.lane);
                let inner = Want { address: start + want.address, ..*want };
                let read = self.unwritten && want.verb != Verb::Store;
                let missing = read.then(|| inner.unwritten(&self.region)).flatten()?;
                Some(Box::new(Violation { address: Some(want.address), ..*missing }))
            })
        })
    }

    fn outside(&self, want: &Want) -> Option<Box<Violation>> {
        let fits = reaches(want.address, want.width, self.bytes);
        let why = || format!("outside the {} bytes of the thread's local memory", self.bytes);
        (!fits).then(|| want.refused(Rule::OutOfBounds, why()))
    }
}
