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

    /// Loads `N` consecutive elements of each active lane and leaves the places of the others alone.
    /// `false`, with anything in `to`, if the bytes must be written and some are not.
    ///
    /// # Safety
    /// `reach` comes from this region with `mask`, `addresses` and `N * T::BYTES`.
    #[inline(always)]
    pub unsafe fn load<T: Element, const N: usize>(
        &self,
        reach: Reach,
        mask: u32,
        addresses: &[u64; LANES],
        reading: Reading,
        to: &mut [[T; LANES]; N],
    ) -> bool {
        let width = width::<T, N>();
        let written = &self.storage.written;
        match reach {
            Reach::Run { offset } if !reading.single => {
                // SAFETY: the reach has all lanes' elements in bounds and aligned.
                unsafe { self.load_rows(offset, to) };
                !reading.written || written.has_all(offset, LANES as u64 * width)
            }
            Reach::Uniform { offset } => {
                for (k, row) in to.iter_mut().enumerate() {
                    // SAFETY: as above.
                    let value = unsafe { self.storage.load(offset + (k * T::BYTES) as u64) };
                    put(row, mask, value);
                }
                // SAFETY: as above.
                !reading.written || unsafe { written.has(offset, width) }
            }
            _ => {
                let mut whole = true;
                for lane in 0..LANES {
                    if mask >> lane & 1 == 0 {
                        continue;
                    }
                    let offset = reach.offset(addresses, lane, width);
                    // SAFETY: as above.
                    whole &= unsafe { written.has(offset, width) };
                    for (k, row) in to.iter_mut().enumerate() {
                        // SAFETY: as above.
                        row[lane] = unsafe { self.storage.load(offset + (k * T::BYTES) as u64) };
                    }
                }
                !reading.written || whole
            }
        }
    }

    /// All lanes side by side: lane `i` has elements `i N ..` from `offset` on.
    ///
    /// # Safety
    /// `32 * N` elements from `offset` on are in bounds, and `offset` is aligned to one.
    #[inline(always)]
    unsafe fn load_rows<T: Element, const N: usize>(&self, offset: u64, to: &mut [[T; LANES]; N]) {
        if let [row] = to.as_mut_slice() {
            // SAFETY: the caller's promise.
            return unsafe { self.storage.load_run(offset, row) };
        }
        for lane in 0..LANES {
            for (k, row) in to.iter_mut().enumerate() {
                // SAFETY: as above.
                row[lane] =
                    unsafe { self.storage.load(offset + ((lane * N + k) * T::BYTES) as u64) };
            }
        }
    }

    /// Stores `N` consecutive elements of each active lane, later lanes over earlier ones.
    ///
    /// # Safety
    /// As for [`Region::load`].
    #[inline(always)]
    pub unsafe fn store<T: Element, const N: usize>(
        &self,
        reach: Reach,
        mask: u32,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
        single: bool,
    ) {
        let width = width::<T, N>();
        if let (Reach::Run { offset }, false) = (reach, single) {
            // SAFETY: the reach has all lanes' elements in bounds and aligned.
            unsafe { self.store_rows(offset, values) };
            return self.storage.written.add_all(offset, LANES as u64 * width);
        }
        for lane in 0..LANES {
            if mask >> lane & 1 == 0 {
                continue;
            }
            let offset = reach.offset(addresses, lane, width);
            for (k, row) in values.iter().enumerate() {
                // SAFETY: as above.
                unsafe { self.storage.store(offset + (k * T::BYTES) as u64, row[lane]) };
            }
            // SAFETY: as above.
            unsafe { self.storage.written.add(offset, width) };
        }
    }

    /// The way back of `load_rows`.
    ///
    /// # Safety
    /// As for `load_rows`.
    #[inline(always)]
    unsafe fn store_rows<T: Element, const N: usize>(&self, offset: u64, values: &[[T; LANES]; N]) {
        if let [row] = values.as_slice() {
            // SAFETY: the caller's promise.
            return unsafe { self.storage.store_run(offset, row) };
        }
        for lane in 0..LANES {
            for (k, row) in values.iter().enumerate() {
                // SAFETY: as above.
                unsafe {
                    self.storage.store(offset + ((lane * N + k) * T::BYTES) as u64, row[lane])
                };
            }
        }
    }

    /// Did somebody write all that the lanes ask for?
    ///
    /// # Safety
    /// `reach` comes from this region with `mask`, `addresses` and `width`.
    #[inline(always)]
    pub unsafe fn is_written(
        &self,
        reach: Reach,
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
    ) -> bool {
        // SAFETY: the reach has the lanes' bytes in bounds.
        lanes(mask).all(|lane| unsafe {
            self.storage.written.has(reach.offset(addresses, lane, width), width)
        })
    }

    /// Replaces the element of each active lane, lowest lane first, and returns the old ones. `ALONE`:
    /// no other host thread reaches the region.
    ///
    /// # Safety
    /// As for [`Region::load`] with `N = 1`.
    #[inline(always)]
    pub unsafe fn update<T: Element, const ALONE: bool>(
        &self,
        reach: Reach,
        mask: u32,
        addresses: &[u64; LANES],
        mut f: impl FnMut(usize, T) -> T,
    ) -> [T; LANES] {
        let width = T::BYTES as u64;
        let mut old = [T::default(); LANES];
        for lane in lanes(mask) {
            let offset = reach.offset(addresses, lane, width);
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
            // SAFETY: as above.
            unsafe { self.storage.written.add(offset, width) };
        }
        old
    }
}

/// Sets the active lanes of a row to one value.
#[inline(always)]
fn put<T: Element>(row: &mut [T; LANES], mask: u32, value: T) {
    if mask == !0 {
        return *row = [value; LANES];
    }
    for (lane, to) in row.iter_mut().enumerate() {
        *to = if mask >> lane & 1 == 1 { value } else { *to };
    }
}
