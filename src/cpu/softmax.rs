//! Softmax over a row of scores, forward and backward.

use super::simd::vectorised;
use super::sum::{add_lanes, dot, max};
use crate::scalar::Scalar;

/// Replaces scores by `exp(s - lse)` with `lse = ln sum exp(s)`, and returns `lse`. Scores of
/// minus infinity become exactly 0; a row of nothing else becomes all 0 with `lse = -inf`.
#[inline(always)]
pub fn softmax<S: Scalar>(scores: &mut [S]) -> S {
    let (scale, lse) = exponentials(scores);
    for p in scores.iter_mut() {
        *p *= scale;
    }
    lse
}

/// Softmax whose last multiplication is left to the caller: returns what the row has to be
/// multiplied by, and `lse`.
#[inline(always)]
pub fn exponentials<S: Scalar>(scores: &mut [S]) -> (S, S) {
    const LANES: usize = 16;
    let largest = max(scores);
    if largest == S::NEG_INFINITY && scores.iter().all(|&s| s == S::NEG_INFINITY) {
        scores.fill(S::ZERO);
        return (S::ONE, S::NEG_INFINITY);
    }
    let mut lanes = [S::ZERO; LANES];
    let (whole, rest) = scores.as_chunks_mut::<LANES>();
    for chunk in whole {
        for (s, lane) in chunk.iter_mut().zip(&mut lanes) {
            *s = (*s - largest).exp();
            *lane += *s;
        }
    }
    for (s, lane) in rest.iter_mut().zip(&mut lanes) {
        *s = (*s - largest).exp();
        *lane += *s;
    }
    let total = add_lanes(lanes);
    (S::ONE / total, largest + total.ln())
}

/// `p = exp(s - lse)` for rows of `row_len` scores; a row without any key stays without.
pub fn probabilities<S: Scalar>(scores: &mut [S], row_len: usize, lse: &[S]) {
    vectorised(
        #[inline(always)]
        || {
            for (row, &lse) in scores.chunks_exact_mut(row_len).zip(lse) {
                let lse = if lse == S::NEG_INFINITY { S::ZERO } else { lse };
                for s in row.iter_mut() {
                    *s = (*s - lse).exp();
                }
            }
        },
    );
}

/// Replaces `dp`, the gradient of the probabilities `p`, by that of the scores:
/// `ds = p (dp - sum(p dp))`.
#[inline(always)]
pub fn softmax_backward<S: Scalar>(p: &[S], dp: &mut [S]) {
    let mean = dot(p, dp);
    for (d, &p) in dp.iter_mut().zip(p) {
        *d = p * (*d - mean);
    }
}
