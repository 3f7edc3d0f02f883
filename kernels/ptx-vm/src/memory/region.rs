//! Bytes at one base address, accessed lane by lane: what all spaces have in common.

use super::LANES;
use super::access::lanes;
use super::element::Element;
use super::reach::Reach;
use super::storage::Storage;

/// An allocation, or the whole of a space.
pub(super) struct Region {
    /// Address of byte 0, a multiple of 512 (or 0).
    pub base: u64,
    pub storage: Storage,
}

/// Bytes of a lane's part of an access.
#[inline(always)]
pub(super) const fn width<T: Element, const N: usize>() -> u64 {
    const { assert!((N * T::BYTES).is_power_of_two() && N * T::BYTES <= 32) };
    (N * T::BYTES) as u64
}

/// How an access treats the bytes it reads.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    /// Refuse bytes nobody wrote.
    pub written: bool,
    /// Element by element: a strong access may meet another of the same width on another host thread.
    pub single: bool,
}

impl Region {
    /// `None` where the host has no memory.
    pub fn new(base: u64, size: u64) -> Option<Self> {
        Some(Self { base, storage: Storage::new(size)? })
    }

    pub fn size(&self) -> u64 {
        self.storage.size()
    }

    /// Where the active lanes lie, if all in here and aligned.
    #[inline(always)]
    pub fn reach(&self, mask: u32, addresses: &[u64; LANES], width: u64) -> Option<Reach> {
        Reach::of(mask, addresses, width, self.base, self.size())
    }

    /// `N` consecutive elements of each active lane; inactive lanes are zero. `None` if the bytes
    /// must be written and some are not.
    ///
    /// # Safety
    /// `reach` comes from [`Region::reach`] of this region with `mask` and `N * T::BYTES`.
    #[inline(always)]
    pub unsafe fn load<T: Element, const N: usize>(
        &self,
        reach: &Reach,
        mask: u32,
        reading: Reading,
    ) -> Option<[[T; LANES]; N]> {
        let width = (N * T::BYTES) as u64;
        let (storage, written) = (&self.storage, &self.storage.written);
        let mut values = [[T::default(); LANES]; N];
        match reach {
            &Reach::Run { offset, count, .. } if count == LANES && !reading.single => {
                if reading.written && !written.has_all(offset, LANES as u64 * width) {
                    return None;
                }
                // SAFETY: the reach has all lanes' elements in bounds and aligned.
                values = unsafe { self.load_rows(offset) };
            }
            &Reach::Uniform { offset } => {
                if reading.written && !written.has(offset, width) {
                    return None;
                }
                for (k, row) in values.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let value = unsafe { storage.load::<T>(offset + (k * T::BYTES) as u64) };
                    for (lane, to) in row.iter_mut().enumerate() {
                        *to = if mask >> lane & 1 == 1 { value } else { T::default() };
                    }
                }
            }
            Reach::Run { .. } => {
                for lane in lanes(mask) {
                    let offset = reach.offset(lane, width);
                    if reading.written && !written.has(offset, width) {
                        return None;
                    }
                    for (k, row) in values.iter_mut().enumerate() {
                        // SAFETY: as above.
                        row[lane] = unsafe { storage.load(offset + (k * T::BYTES) as u64) };
                    }
                }
            }
            Reach::Scattered { offsets } => {
                let mut whole = true;
                for (lane, &offset) in offsets.iter().enumerate() {
                    whole &= written.has(offset, width);
                    for (k, row) in values.iter_mut().enumerate() {
                        // SAFETY: as above; inactive lanes repeat an active one.
                        row[lane] = unsafe { storage.load(offset + (k * T::BYTES) as u64) };
                    }
                }
                if reading.written && !whole {
                    return None;
                }
                if mask != !0 {
                    lanes(!mask)
                        .for_each(|lane| values.iter_mut().for_each(|r| r[lane] = T::default()));
                }
            }
        }
        Some(values)
    }

    /// All lanes side by side: `N` runs of memory, dealt out so that lane `i` has elements `i N ..`.
    ///
    /// # Safety
    /// `32 * N` elements from `offset` on are in bounds, and `offset` is aligned to one.
    #[inline(always)]
    unsafe fn load_rows<T: Element, const N: usize>(&self, offset: u64) -> [[T; LANES]; N] {
        let mut rows = [[T::default(); LANES]; N];
        for (k, row) in rows.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *row = unsafe { self.storage.load_run(offset + (k * LANES * T::BYTES) as u64) };
        }
        if N == 1 {
            return rows;
        }
        let mut values = rows;
        for (k, row) in values.iter_mut().enumerate() {
            for (lane, value) in row.iter_mut().enumerate() {
                *value = rows[(lane * N + k) / LANES][(lane * N + k) % LANES];
            }
        }
        values
    }

    /// Stores `N` consecutive elements of each active lane, later lanes over earlier ones.
    ///
    /// # Safety
    /// As for [`Region::load`].
    #[inline(always)]
    pub unsafe fn store<T: Element, const N: usize>(
        &self,
        reach: &Reach,
        mask: u32,
        values: &[[T; LANES]; N],
        single: bool,
    ) {
        let width = (N * T::BYTES) as u64;
        if let &Reach::Run { offset, count, .. } = reach
            && count == LANES
            && !single
        {
            for k in 0..N {
                let run = std::array::from_fn(|i| {
                    let flat = k * LANES + i;
                    values[flat % N][flat / N]
                });
                // SAFETY: the reach has all lanes' elements in bounds and aligned.
                unsafe { self.storage.store_run(offset + (k * LANES * T::BYTES) as u64, &run) };
            }
            return self.storage.written.add_all(offset, LANES as u64 * width);
        }
        for lane in lanes(mask) {
            let offset = reach.offset(lane, width);
            for (k, row) in values.iter().enumerate() {
                // SAFETY: as above.
                unsafe { self.storage.store(offset + (k * T::BYTES) as u64, row[lane]) };
            }
            self.storage.written.add(offset, width);
        }
    }

    /// Did somebody write all that the lanes ask for?
    #[inline(always)]
    pub fn is_written(&self, reach: &Reach, mask: u32, width: u64) -> bool {
        lanes(mask).all(|lane| self.storage.written.has(reach.offset(lane, width), width))
    }

    /// Replaces the element of each active lane, lowest lane first, and returns the old ones. `ALONE`:
    /// no other host thread reaches the region.
    ///
    /// # Safety
    /// As for [`Region::load`] with `N = 1`.
    #[inline(always)]
    pub unsafe fn update<T: Element, const ALONE: bool>(
        &self,
        reach: &Reach,
        mask: u32,
        mut f: impl FnMut(usize, T) -> T,
    ) -> [T; LANES] {
        let width = T::BYTES as u64;
        let mut old = [T::default(); LANES];
        for lane in lanes(mask) {
            let offset = reach.offset(lane, width);
            old[lane] = if ALONE {
                // SAFETY: the reach has the element in bounds and aligned.
                let value = unsafe { self.storage.load(offset) };
                // SAFETY: as above.
                unsafe { self.storage.store(offset, f(lane, value)) };
                value
            } else {
                // SAFETY: as above.
                unsafe { self.storage.update(offset, |value| f(lane, value)) }
            };
            self.storage.written.add(offset, width);
        }
        old
    }
}
