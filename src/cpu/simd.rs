//! The widest vector instructions this machine has: the one door to pulp.

pub use pulp::{Simd, WithSimd};

/// Runs `body` compiled for the widest vector instructions of this machine (AVX-512, AVX2 with
/// FMA, else the target's own). What `body` calls must be inlined into it to take part, hence the
/// `#[inline(always)]` on the numeric primitives.
///
/// The closure itself too: write `vectorised(#[inline(always)] || ..)`, and the same for the bodies
/// given to [`rows`](super::rows). There is one copy of it for each instruction set, so the
/// compiler's own judgement leaves all but the smallest outside, compiled for the plainest machine,
/// where a `mul_add` is a call: ten times slower.
#[inline(always)]
pub fn vectorised<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// Runs what is written in vectors itself, with this machine's widest.
#[inline(always)]
pub fn with_simd<W: WithSimd>(body: W) -> W::Output {
    pulp::Arch::new().dispatch(body)
}
