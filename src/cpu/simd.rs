//! The widest vector instructions this machine has, for plain loops: the one door to pulp.

/// Runs `body` compiled for the widest vector instructions of this machine (AVX-512, AVX2 with
/// FMA, else the target's own). What `body` calls must be inlined into it to take part, hence the
/// `#[inline(always)]` on the numeric primitives.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Asks for the cache lines of `values[at..at + len]`, which will be read soon, to be brought into
/// the second-level cache. Out of bounds it does nothing of consequence.
#[inline(always)]
pub fn prefetch<T>(values: &[T], at: usize, len: usize) {
    const LINE: usize = 64;
    let start = values.as_ptr().wrapping_add(at).cast::<i8>();
    for offset in (0..len * size_of::<T>()).step_by(LINE) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch only hints at an address; it needs no valid memory there.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T1>(start.wrapping_add(offset));
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (start, offset);
    }
}
