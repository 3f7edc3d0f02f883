//! Bytes, and which of them were written: memory of the host that costs nothing until it is touched.

use super::LANES;
use super::element::Element;
use super::written::Written;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Zeroed words of the host, committed by its system page by page as they are touched.
pub(super) struct Zeroed {
    start: NonNull<u8>,
    /// Words, one at least.
    count: usize,
}

// SAFETY: the words are only reached as atomics.
unsafe impl Send for Zeroed {}
// SAFETY: as above.
unsafe impl Sync for Zeroed {}

impl Zeroed {
    /// Room for `bytes`; `None` where the host has none.
    pub fn new(bytes: u64) -> Option<Self> {
        let count = usize::try_from(bytes.div_ceil(8).max(1)).ok()?;
        let layout = Layout::array::<AtomicU64>(count).ok()?;
        // SAFETY: the layout has at least 8 bytes. (A larger alignment would make the allocator
        // clear, and so commit, the pages itself.)
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, count })
    }

    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: `count` zeroed words live there as long as `self`, and all access is atomic.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.count) }
    }

    #[inline(always)]
    fn at(&self, offset: u64) -> *mut u8 {
        self.start.as_ptr().wrapping_add(offset as usize)
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        if let Ok(layout) = Layout::array::<AtomicU64>(self.count) {
            // SAFETY: allocated with this layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

/// `size` bytes and their written bits. Offsets are the caller's to check; `unsafe` functions trust them.
pub(super) struct Storage {
    bytes: Zeroed,
    pub written: Written,
    size: u64,
}

impl Storage {
    /// `None` where the host has no memory.
    pub fn new(size: u64) -> Option<Self> {
        Some(Self { bytes: Zeroed::new(size)?, written: Written::new(size)?, size })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// # Safety
    /// `offset + T::BYTES <= size`, and `offset` is a multiple of `T::BYTES`.
    #[inline(always)]
    pub unsafe fn load<T: Element>(&self, offset: u64) -> T {
        debug_assert!(offset + T::BYTES as u64 <= self.size);
        // SAFETY: in bounds and aligned, says the caller; the first byte is aligned to 8.
        unsafe { T::load(self.bytes.at(offset)) }
    }

    /// # Safety
    /// As for [`Storage::load`].
    #[inline(always)]
    pub unsafe fn store<T: Element>(&self, offset: u64, value: T) {
        debug_assert!(offset + T::BYTES as u64 <= self.size);
        // SAFETY: as above.
        unsafe { T::store(self.bytes.at(offset), value) }
    }

    /// # Safety
    /// As for [`Storage::load`].
    #[inline(always)]
    pub unsafe fn update<T: Element>(&self, offset: u64, f: impl FnMut(T) -> T) -> T {
        debug_assert!(offset + T::BYTES as u64 <= self.size);
        // SAFETY: as above.
        unsafe { T::update(self.bytes.at(offset), f) }
    }

    /// 32 consecutive elements, read as double words where the start is aligned to 8.
    ///
    /// # Safety
    /// `offset + 32 * T::BYTES <= size`, and `offset` is a multiple of `T::BYTES`.
    #[inline(always)]
    pub unsafe fn load_run<T: Element>(&self, offset: u64, run: &mut [T; LANES]) {
        if offset & 7 == 0 {
            let to = run.as_mut_ptr().cast::<u64>();
            for i in 0..LANES * T::BYTES / 8 {
                // SAFETY: `offset` is aligned to 8 and the 32 elements are in bounds; `run` has as
                // many bytes and takes any bits.
                unsafe { to.add(i).write_unaligned(self.load(offset + 8 * i as u64)) };
            }
        } else {
            for (i, value) in run.iter_mut().enumerate() {
                // SAFETY: element `i` of the run.
                *value = unsafe { self.load(offset + (i * T::BYTES) as u64) };
            }
        }
    }

    /// # Safety
    /// As for [`Storage::load_run`].
    #[inline(always)]
    pub unsafe fn store_run<T: Element>(&self, offset: u64, run: &[T; LANES]) {
        if offset & 7 == 0 {
            let from = run.as_ptr().cast::<u64>();
            for i in 0..LANES * T::BYTES / 8 {
                // SAFETY: as in `load_run`.
                unsafe { self.store(offset + 8 * i as u64, from.add(i).read_unaligned()) };
            }
        } else {
            for (i, &value) in run.iter().enumerate() {
                // SAFETY: element `i` of the run.
                unsafe { self.store(offset + (i * T::BYTES) as u64, value) };
            }
        }
    }

    /// Copies out as many bytes as `to` has.
    ///
    /// # Panics
    /// If they do not lie inside the storage: the caller has checked.
    pub fn read(&self, offset: u64, to: &mut [u8]) {
        assert!(offset + to.len() as u64 <= self.size);
        let head = (offset.wrapping_neg() as usize & 7).min(to.len());
        let (edge, rest) = to.split_at_mut(head);
        let mut at = offset;
        for byte in edge {
            // SAFETY: in bounds by the assertion, here and below.
            *byte = unsafe { self.load(at) };
            at += 1;
        }
        let mut words = rest.chunks_exact_mut(8);
        for word in &mut words {
            // SAFETY: `at` became a multiple of 8 by the edge.
            word.copy_from_slice(&unsafe { self.load::<u64>(at) }.to_le_bytes());
            at += 8;
        }
        for byte in words.into_remainder() {
            // SAFETY: in bounds.
            *byte = unsafe { self.load(at) };
            at += 1;
        }
    }

    /// Copies `from` in; the bytes count as written.
    ///
    /// # Panics
    /// As for [`Storage::read`].
    pub fn write(&self, offset: u64, from: &[u8]) {
        self.put(offset, from);
        self.written.add_all(offset, from.len() as u64);
    }

    /// Copies `from` in and leaves it to the caller whether the bytes count as written.
    ///
    /// # Panics
    /// As for [`Storage::read`].
    pub fn put(&self, offset: u64, from: &[u8]) {
        assert!(offset + from.len() as u64 <= self.size);
        let head = (offset.wrapping_neg() as usize & 7).min(from.len());
        let (edge, rest) = from.split_at(head);
        let mut at = offset;
        for &byte in edge {
            // SAFETY: in bounds by the assertion, here and below.
            unsafe { self.store(at, byte) };
            at += 1;
        }
        let (words, tail) = rest.as_chunks::<8>();
        for word in words {
            // SAFETY: `at` became a multiple of 8 by the edge.
            unsafe { self.store(at, u64::from_le_bytes(*word)) };
            at += 8;
        }
        for &byte in tail {
            // SAFETY: in bounds.
            unsafe { self.store(at, byte) };
            at += 1;
        }
    }
}
