//! One bit a byte: was it written? A byte that was, stays so, except where shared memory is poisoned or reused.

use super::storage::Zeroed;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bits of a storage, 64 bytes of it a word.
pub(super) struct Written {
    bits: Zeroed,
}

/// Ones for `bytes` (1 to 64) bytes from `first` (below 64) on, as far as they lie in one word.
#[inline(always)]
fn ones(first: u64, bytes: u64) -> u64 {
    (!0 >> (64 - bytes)) << first
}

impl Written {
    /// Nothing written of `size` bytes; `None` where the host has no memory.
    pub fn new(size: u64) -> Option<Self> {
        Some(Self { bits: Zeroed::new(size.div_ceil(8))? })
    }

    #[inline(always)]
    fn words(&self) -> &[AtomicU64] {
        self.bits.words()
    }

    /// Are `bytes` all written?
    ///
    /// # Safety
    /// `offset` and `bytes` more lie in the storage, `bytes` is a power of two up to 64, and `offset` a
    /// multiple of it.
    #[inline(always)]
    pub unsafe fn has(&self, offset: u64, bytes: u64) -> bool {
        let mask = ones(offset & 63, bytes);
        // SAFETY: there is a word for each 64 bytes of the storage.
        let word = unsafe { self.words().get_unchecked((offset >> 6) as usize) };
        word.load(Relaxed) & mask == mask
    }

    /// Marks `bytes` as written.
    ///
    /// # Safety
    /// As for [`Written::has`].
    #[inline(always)]
    pub unsafe fn add(&self, offset: u64, bytes: u64) {
        // SAFETY: as above.
        let word = unsafe { self.words().get_unchecked((offset >> 6) as usize) };
        mark(word, ones(offset & 63, bytes));
    }

    /// Are all of `bytes` from `offset` on written?
    #[inline]
    pub fn has_all(&self, offset: u64, bytes: u64) -> bool {
        pieces(offset, bytes).all(|(word, mask)| self.words()[word].load(Relaxed) & mask == mask)
    }

    /// The first byte of the range that nobody wrote.
    pub fn first_missing(&self, offset: u64, bytes: u64) -> Option<u64> {
        pieces(offset, bytes).find_map(|(word, mask)| {
            let missing = !self.words()[word].load(Relaxed) & mask;
            (missing != 0).then(|| word as u64 * 64 + u64::from(missing.trailing_zeros()))
        })
    }

    /// The first byte of the range that was written.
    pub fn first(&self, offset: u64, bytes: u64) -> Option<u64> {
        pieces(offset, bytes).find_map(|(word, mask)| {
            let found = self.words()[word].load(Relaxed) & mask;
            (found != 0).then(|| word as u64 * 64 + u64::from(found.trailing_zeros()))
        })
    }

    #[inline]
    pub fn add_all(&self, offset: u64, bytes: u64) {
        pieces(offset, bytes).for_each(|(word, mask)| mark(&self.words()[word], mask));
    }

    /// Forgets that the range was written.
    pub fn remove_all(&self, offset: u64, bytes: u64) {
        for (word, mask) in pieces(offset, bytes) {
            if mask == !0 {
                self.words()[word].store(0, Relaxed);
            } else {
                self.words()[word].fetch_and(!mask, Relaxed);
            }
        }
    }

    /// Takes over which bytes of `other` from `from` on were written, for `bytes` from `to` on.
    pub fn copy(&self, to: u64, other: &Written, from: u64, bytes: u64) {
        let mut done = 0;
        while done < bytes {
            let source = from + done;
            let bit = other.words()[(source >> 6) as usize].load(Relaxed) >> (source & 63);
            let set = bit & 1 == 1;
            let run = if set { bit.trailing_ones() } else { bit.trailing_zeros() };
            let run = u64::from(run).clamp(1, 64 - (source & 63)).min(bytes - done);
            if set {
                self.add_all(to + done, run);
            } else {
                self.remove_all(to + done, run);
            }
            done += run;
        }
    }
}

/// A bit that is set already costs no write; a whole word no read-modify-write.
#[inline(always)]
fn mark(word: &AtomicU64, mask: u64) {
    if word.load(Relaxed) & mask == mask {
        return;
    }
    if mask == !0 {
        word.store(!0, Relaxed);
    } else {
        word.fetch_or(mask, Relaxed);
    }
}

/// The words a range touches, each with the bits of the range.
#[inline(always)]
fn pieces(offset: u64, bytes: u64) -> impl Iterator<Item = (usize, u64)> {
    let end = offset + bytes;
    let mut at = offset;
    std::iter::from_fn(move || {
        (at < end).then(|| {
            let piece = (at >> 6) as usize;
            let mask = ones(at & 63, (end - at).min(64));
            at = (at | 63) + 1;
            (piece, mask)
        })
    })
}
