//! Dropout on the CPU: random words are made 64 at a time, as vector lanes.

use super::Dropout;
use crate::cpu::columns::for_pieces;
use crate::cpu::rows::{self, Parts};
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::rng::Philox;
use crate::scalar::Scalar;
use crate::write::Write;

/// Blocks of four words made together.
const BLOCKS: usize = 16;
const WORDS: usize = 4 * BLOCKS;

impl<S: Scalar> OnCpu<S> for Dropout {
    fn forward(&self, pass: Forward<'_, S>) {
        let samples = pass.inputs.shape(0).extents()[0];
        self.apply(pass.out, Write::Set, pass.inputs.real(0), samples, pass.random);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let samples = pass.inputs.shape(0).extents()[0];
        if let Some(dinp) = pass.gradient(0) {
            self.apply(dinp.values, dinp.write, pass.dout, samples, pass.random);
        }
    }
}

impl Dropout {
    /// Writes `values / (1 - rate)` where kept, 0 elsewhere.
    fn apply<S: Scalar>(
        &self,
        slots: &mut [S],
        write: Write,
        values: &[S],
        samples: usize,
        random: Philox,
    ) {
        let scale = S::from_f64(1.0 / (1.0 - self.rate));
        let least = self.least_word();
        let drop = move |word: u32, x: S| if word >> 8 >= least { scale * x } else { S::ZERO };
        if self.per_sample {
            let len = slots.len() / samples.max(1);
            let slots = Parts::new(slots);
            for_pieces(
                samples,
                len,
                #[inline(always)]
                |sample, piece| {
                    let word = random.word(sample as u64);
                    let at = sample * len + piece.start..sample * len + piece.end;
                    // SAFETY: pieces do not overlap.
                    let slots = unsafe { slots.part(at.clone()) };
                    write.put_all(slots, values[at].iter().map(|&x| drop(word, x)));
                },
            );
        } else {
            rows::for_parts(
                slots,
                #[inline(always)]
                |range, slots| {
                    debug_assert_eq!(range.start % WORDS, 0, "a part begins with a whole block");
                    let values = values[range.clone()].chunks(WORDS);
                    for (i, (slots, values)) in slots.chunks_mut(WORDS).zip(values).enumerate() {
                        let words = words(random, ((range.start + i * WORDS) / 4) as u64);
                        let kept = words.iter().zip(values).map(|(&word, &x)| drop(word, x));
                        write.put_all(slots, kept);
                    }
                },
            );
        }
    }
}

/// The words of `BLOCKS` blocks, in the stream's order.
#[inline(always)]
fn words(random: Philox, first_block: u64) -> [u32; WORDS] {
    let lanes = random.blocks::<BLOCKS>(first_block);
    std::array::from_fn(|i| lanes[i % 4][i / 4])
}
