//! Softmax over a row of scores, forward and backward.

use super::sum::{dot, max, sum};
use crate::scalar::Scalar;

/// Replaces scores by `exp(s - lse)` with `lse = ln sum exp(s)`, and returns `lse`. Scores of
/// minus infinity become exactly 0; a row of nothing else becomes all 0 with `lse = -inf`.
#[inline(always)]
pub fn softmax<S: Scalar>(scores: &mut [S]) -> S {
    let largest = max(scores);
    if largest == S::NEG_INFINITY && scores.iter().all(|&s| s == S::NEG_INFINITY) {
        scores.fill(S::ZERO);
        return S::NEG_INFINITY;
    }
    scores.iter_mut().for_each(|s| *s = (*s - largest).exp());
    let total = sum(scores);
    let scale = S::ONE / total;
    scores.iter_mut().for_each(|p| *p *= scale);
    largest + total.ln()
}

/// Replaces `dp`, the gradient of the probabilities `p`, by that of the scores:
/// `ds = p (dp - sum(p dp))`.
#[inline(always)]
pub fn softmax_backward<S: Scalar>(p: &[S], dp: &mut [S]) {
    let mean = dot(p, dp);
    dp.iter_mut().zip(p).for_each(|(d, &p)| *d = p * (*d - mean));
}
