//! Philox-4x32-10: a counter-based random stream, the same numbers on every machine and for any
//! order of drawing (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A stream of random numbers: `key` says which stream, a 128-bit counter which number.
/// Nothing is stored but these, so a resumed run needs no saved generator state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Philox {
    key: [u32; 2],
    stream: [u32; 2],
}

impl Philox {
    /// The stream of a seed for one purpose; streams of different purposes are independent.
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { key: split(seed), stream: split(stream) }
    }

    /// The stream of a node of a graph in a step. A graph has fewer than 2^20 nodes, a run fewer than 2^44
    /// steps: no two streams meet.
    pub fn of_node(seed: u64, step: u64, node: usize) -> Self {
        Self::new(seed, step << 20 | node as u64)
    }

    /// The two numbers it was made of.
    pub fn seed_and_stream(&self) -> (u64, u64) {
        let joined = |[low, high]: [u32; 2]| u64::from(high) << 32 | u64::from(low);
        (joined(self.key), joined(self.stream))
    }

    /// Block `index` of the stream: four random words.
    pub fn block(&self, index: u64) -> [u32; 4] {
        self.blocks::<1>(index).map(|[word]| word)
    }

    /// `N` blocks from `first` on: `[k][i]` is word `k` of block `first + i`. The blocks are lanes:
    /// this becomes vector code where it is inlined into such.
    #[inline(always)]
    #[allow(clippy::needless_range_loop, reason = "a lane of four arrays at once")]
    pub fn blocks<const N: usize>(&self, first: u64) -> [[u32; N]; 4] {
        let mut counters = [[0; N]; 4];
        for i in 0..N {
            let [low, high] = split(first.wrapping_add(i as u64));
            let counter = [low, high, self.stream[0], self.stream[1]];
            (0..4).for_each(|word| counters[word][i] = counter[word]);
        }
        let mut key = self.key;
        for _ in 0..10 {
            for i in 0..N {
                let [low0, high0] = split(u64::from(MULTIPLIER[0]) * u64::from(counters[0][i]));
                let [low1, high1] = split(u64::from(MULTIPLIER[1]) * u64::from(counters[2][i]));
                counters[0][i] = high1 ^ counters[1][i] ^ key[0];
                counters[1][i] = low1;
                counters[2][i] = high0 ^ counters[3][i] ^ key[1];
                counters[3][i] = low0;
            }
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        counters
    }

    /// Word `index` of the stream.
    pub fn word(&self, index: u64) -> u32 {
        self.block(index / 4)[(index % 4) as usize]
    }

    /// Number `index` of the stream, uniform in `[0, 1)` with 24 bits: exact in `f32`.
    pub fn uniform(&self, index: u64) -> f64 {
        f64::from(self.word(index) >> 8) / f64::from(1u32 << 24)
    }

    /// A sequential reader of the stream from its start.
    pub fn reader(self) -> Reader {
        Reader { philox: self, next: 0 }
    }
}

/// Draws one number after the other from a stream.
#[derive(Clone, Debug)]
pub struct Reader {
    philox: Philox,
    next: u64,
}

impl Reader {
    fn next_block(&mut self) -> [u32; 4] {
        self.next += 1;
        self.philox.block(self.next - 1)
    }

    /// One block a draw: uniform in `[0, 1)` with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        let words = self.next_block();
        unit(words[0], words[1])
    }

    /// Uniform in `0..bound` (bias below 2^-53 * bound).
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "a draw below 0");
        ((self.uniform() * bound as f64) as usize).min(bound - 1)
    }

    /// One block a draw: standard normal (Box-Muller, one of the pair). Its functions are `libm`'s,
    /// the same on every platform.
    pub fn normal(&mut self) -> f64 {
        let [a, b, c, d] = self.next_block();
        let radius = (-2.0 * libm::log(1.0 - unit(a, b))).sqrt();
        radius * libm::cos(std::f64::consts::TAU * unit(c, d))
    }

    /// Standard normal conditioned on `|x| <= bound`.
    pub fn truncated_normal(&mut self, bound: f64) -> f64 {
        loop {
            let x = self.normal();
            if x.abs() <= bound {
                return x;
            }
        }
    }

    /// Fisher-Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// 64 random bits as a number in `[0, 1)` with 53.
fn unit(high: u32, low: u32) -> f64 {
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[inline(always)]
fn split(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with the generator's reference implementation.
    #[test]
    fn philox_known_answers() {
        assert_eq!(Philox::new(0, 0).block(0), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        let ones = Philox::new(u64::MAX, u64::MAX);
        assert_eq!(ones.block(u64::MAX), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    }

    #[test]
    fn blocks_together_are_blocks_one_by_one() {
        let random = Philox::new(3, 4);
        let first = (1 << 32) - 5; // the low half of the counter runs over
        let words = random.blocks::<16>(first);
        for i in 0..16 {
            assert_eq!(random.block(first + i as u64), words.map(|word| word[i]));
        }
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_depends_on_the_seed() {
        let shuffled = |seed| {
            let mut items: Vec<u32> = (0..100).collect();
            Philox::new(seed, 0).reader().shuffle(&mut items);
            items
        };
        let mut sorted = shuffled(1);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(shuffled(1), shuffled(2));
    }
}
