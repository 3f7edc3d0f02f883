//! The widest vector instructions this machine has: the one door to pulp.

pub use pulp::{Simd, WithSimd};

/// Runs `body` compiled for the widest vector instructions of this machine (AVX-512, AVX2 with
/// FMA, else the target's own). What `body` calls must be inlined into it to take part, hence the
/// `#[inline(always)]` on the numeric primitives.
///
/// The closure itself too: write `vectorised(#[inline(always)] || ..)`, and the same for the bodies
/// given to [`rows`](super::rows). There is one copy of it for each instruction set, so the
/// compiler's own judgement leaves all but the smallest outside, compiled for the plainest machine,
/// where a `mul_add` is a call: ten times slower. For the same reason loops are written as `for`:
/// the `fold` behind `for_each` may stay outside.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Runs what is written in vectors itself, with this machine's widest.
#[inline(always)]
pub fn with_simd<W: WithSimd>(body: W) -> W::Output {
    pulp::Arch::new().dispatch(body)
}

/// A cache of a core, the first the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    First,
    Second,
}

/// Asks for the cache lines of `values[at..at + len]`, which will be read soon, to be brought into
/// the second-level cache. Out of bounds it does nothing of consequence.
#[inline(always)]
pub fn prefetch<T>(values: &[T], at: usize, len: usize) {
    const LINE: usize = 64;
    let start = values.as_ptr().wrapping_add(at);
    for offset in (0..len * size_of::<T>()).step_by(LINE) {
        prefetch_line(Level::Second, start.wrapping_byte_add(offset));
    }
}

/// Asks for the cache line at `at`, which need not be memory of ours.
#[inline(always)]
pub fn prefetch_line<T>(level: Level, at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch only hints at an address; it needs no valid memory there.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        match level {
            Level::First => _mm_prefetch::<_MM_HINT_T0>(at.cast()),
            Level::Second => _mm_prefetch::<_MM_HINT_T1>(at.cast()),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (level, at);
}
