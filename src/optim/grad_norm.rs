//! The Euclidean norm of all gradients together.

use crate::cpu::rows;
use crate::cpu::rows::Parts;
use crate::cpu::sum::sum_with;
use crate::scalar::Scalar;

/// Numbers that one partial sum covers: with a float of 24 bits its error stays below 1e-5.
const CHUNK: usize = 4096;

/// Elements of workspace for the sum over `len` numbers.
pub fn workspace(len: usize) -> usize {
    len.div_ceil(CHUNK)
}

/// Sum of squares, partial sums in the machine's precision, added in order in f64.
pub fn sum_of_squares<S: Scalar>(gradient: &[S], workspace: &mut [S]) -> f64 {
    let sums = &mut workspace[..gradient.len().div_ceil(CHUNK)];
    let parts = Parts::new(sums);
    rows::for_chunks(
        gradient.len(),
        CHUNK,
        #[inline(always)]
        |range| {
            let chunk = &gradient[range.clone()];
            // SAFETY: every chunk has a sum of its own.
            let sum = unsafe { parts.part(range.start / CHUNK..range.start / CHUNK + 1) };
            sum[0] = sum_with(chunk, chunk, |a, b| a * b);
        },
    );
    sums.iter().map(|s| s.to_f64()).sum()
}

/// What to multiply gradients by so that their norm is at most `limit`; a limit of 0 is none.
pub fn clip_scale(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}
