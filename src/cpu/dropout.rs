//! Dropout: which elements or samples are kept. Random words are made 64 at a time, as vector lanes.

use super::columns::for_pieces;
use super::rows::{self, Parts};
use crate::error::{Error, Result};
use crate::rng::Philox;
use crate::scalar::Scalar;

/// Blocks of four words made together.
const BLOCKS: usize = 16;
const WORDS: usize = 4 * BLOCKS;

/// What is dropped: `drop(x) = x / (1 - rate)` where kept, else 0.
///
/// An element is kept if its random number, uniform in `[0, 1)`, is not below `rate`; or each sample
/// (index of the leading extent) as a whole, which is stochastic depth. Element or sample `i` takes
/// number `i` of the node's stream. A backward pass draws the numbers again, nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share that is dropped, in `[0, 1)`.
    pub rate: f64,
    /// Whether a sample is kept or dropped as a whole.
    pub per_sample: bool,
}

impl Dropout {
    /// # Errors
    /// A rate outside `[0, 1)`.
    pub fn check(&self) -> Result<()> {
        match (0.0..1.0).contains(&self.rate) {
            true => Ok(()),
            false => Err(Error::usage(format!(
                "the rate of dropout has to be at least 0 and below 1, not {}",
                self.rate
            ))),
        }
    }

    /// What the upper 24 bits of a word have to be at least to keep its element: as a fraction of 2^24 they
    /// are not below the rate.
    pub fn least_word(&self) -> u32 {
        (self.rate * f64::from(1 << 24)).ceil() as u32
    }

    /// `out = drop(values)`
    pub fn apply<S: Scalar>(&self, out: &mut [S], values: &[S], samples: usize, random: Philox) {
        self.for_draws(
            out,
            samples,
            random,
            #[inline(always)]
            |out, at, draw| {
                let values = values[at..].iter().zip(&draw.words);
                for (out, (&x, &word)) in out.iter_mut().zip(values) {
                    *out = draw.drop(word, x);
                }
            },
        );
    }

    /// `out = residual + drop(out)`, without a residual `drop(out)`.
    pub fn apply_in_place<S: Scalar>(
        &self,
        out: &mut [S],
        residual: Option<&[S]>,
        samples: usize,
        random: Philox,
    ) {
        self.for_draws(
            out,
            samples,
            random,
            #[inline(always)]
            |out, at, draw| {
                for (x, &word) in out.iter_mut().zip(&draw.words) {
                    *x = draw.drop(word, *x);
                }
                let residual = residual.map_or(&[][..], |residual| &residual[at..]);
                for (x, &residual) in out.iter_mut().zip(residual) {
                    *x += residual;
                }
            },
        );
    }

    /// Calls `body(part, at, draw)` with parts of `out` of at most `WORDS` elements, each with the number of
    /// its first element and its draw.
    #[inline(always)]
    fn for_draws<S: Scalar>(
        &self,
        out: &mut [S],
        samples: usize,
        random: Philox,
        body: impl Fn(&mut [S], usize, &Draw<S>) + Sync,
    ) {
        let draw = |words| {
            let scale = S::from_f64(1.0 / (1.0 - self.rate));
            Draw { words, least: self.least_word(), scale }
        };
        if self.per_sample {
            let len = out.len() / samples.max(1);
            let out = Parts::new(out);
            for_pieces(
                samples,
                len,
                #[inline(always)]
                |sample, piece| {
                    let draw = draw([random.word(sample as u64); WORDS]);
                    let start = sample * len + piece.start;
                    // SAFETY: pieces do not overlap.
                    let out = unsafe { out.part(start..sample * len + piece.end) };
                    for (i, part) in out.chunks_mut(WORDS).enumerate() {
                        body(part, start + i * WORDS, &draw);
                    }
                },
            );
        } else {
            rows::for_parts(
                out,
                #[inline(always)]
                |range, out| {
                    debug_assert_eq!(range.start % WORDS, 0, "a part begins with a whole block");
                    for (i, part) in out.chunks_mut(WORDS).enumerate() {
                        let at = range.start + i * WORDS;
                        body(part, at, &draw(words(random, (at / 4) as u64)));
                    }
                },
            );
        }
    }
}

/// The random words of neighbouring elements.
struct Draw<S> {
    words: [u32; WORDS],
    least: u32,
    scale: S,
}

impl<S: Scalar> Draw<S> {
    #[inline(always)]
    fn drop(&self, word: u32, x: S) -> S {
        if word >> 8 >= self.least { self.scale * x } else { S::ZERO }
    }
}

/// The words of `BLOCKS` blocks, in the stream's order.
#[inline(always)]
fn words(random: Philox, first_block: u64) -> [u32; WORDS] {
    let lanes = random.blocks::<BLOCKS>(first_block);
    std::array::from_fn(|i| lanes[i % 4][i / 4])
}
