//! The widths an access can have: 1, 2, 4 and 8 bytes, each moved by one relaxed atomic of that width.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};

#[cfg(target_endian = "big")]
compile_error!("PTX is little-endian, and so must the host be");

mod sealed {
    pub trait Sealed {}
}

/// An integer that fills one register: `u8`, `u16`, `u32` or `u64`.
///
/// Memory is touched by relaxed atomics only, so host threads that race because a kernel races are
/// no undefined behaviour. Accesses of *different* widths to the same bytes at the same time are
/// outside what Rust promises for atomics today; it is assumed that they act byte by byte, as the
/// memory model of LLVM defines them (each byte of a read sees some write of that byte) and as
/// x86-64 and AArch64 do them. A kernel without races never does this.
pub trait Element:
    sealed::Sealed + Copy + Default + PartialEq + std::fmt::Debug + Send + Sync
{
    const BYTES: usize;

    /// # Safety
    /// `at` is aligned to `BYTES` and valid for reading that many bytes, which only atomics change.
    unsafe fn load(at: *const u8) -> Self;

    /// # Safety
    /// As for [`Element::load`], and valid for writing.
    unsafe fn store(at: *mut u8, value: Self);

    /// Replaces the value by `f` of it, atomically, and returns the old one; `f` may run several times.
    ///
    /// # Safety
    /// As for [`Element::store`].
    unsafe fn update(at: *mut u8, f: impl FnMut(Self) -> Self) -> Self;
}

macro_rules! element {
    ($type:ty, $atomic:ty) => {
        impl sealed::Sealed for $type {}

        impl Element for $type {
            const BYTES: usize = size_of::<$type>();

            #[inline(always)]
            unsafe fn load(at: *const u8) -> Self {
                // SAFETY: valid and aligned, says the caller; the atomic has the integer's layout.
                unsafe { (*at.cast::<$atomic>()).load(Relaxed) }
            }

            #[inline(always)]
            unsafe fn store(at: *mut u8, value: Self) {
                // SAFETY: as above.
                unsafe { (*at.cast::<$atomic>()).store(value, Relaxed) }
            }

            #[inline(always)]
            unsafe fn update(at: *mut u8, mut f: impl FnMut(Self) -> Self) -> Self {
                // SAFETY: as above.
                let cell = unsafe { &*at.cast::<$atomic>() };
                let mut old = cell.load(Relaxed);
                while let Err(now) = cell.compare_exchange_weak(old, f(old), Relaxed, Relaxed) {
                    old = now;
                }
                old
            }
        }
    };
}

element!(u8, AtomicU8);
element!(u16, AtomicU16);
element!(u32, AtomicU32);
element!(u64, AtomicU64);
