//! What every pass on a device is given: counters to meet at, random numbers, what they drop.

use super::arguments::{Arguments, Pointer};

/// Counters that the blocks of a launch may meet at.
pub const TICKETS: usize = 4096;

/// A node's stream of random numbers, `Philox::of_node(seed, step, node)`. The step lies on the device
/// (`u64`), so that a recorded launch draws other numbers each time.
#[derive(Clone, Copy, Debug)]
pub struct CudaRandom {
    pub seed: u64,
    pub node: usize,
    pub step: Pointer,
}

/// What a kernel drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CudaDropout {
    /// One draw for each sample instead of one for each number.
    pub per_sample: bool,
    /// What the upper 24 bits of a word have to be at least to keep what it decides over.
    pub least: usize,
    /// Of what is kept.
    pub scale: f32,
}

impl CudaDropout {
    /// Of a share of `rate`.
    pub fn new(per_sample: bool, least_word: u32, rate: f64) -> Self {
        Self { per_sample, least: least_word as usize, scale: (1.0 / (1.0 - rate)) as f32 }
    }
}

impl Arguments {
    /// The structure `Drop` of kernels: 1 for numbers, 2 for samples of so many rows, 0 for nothing.
    #[must_use]
    pub fn drop(self, drop: Option<CudaDropout>, sample_rows: usize, random: CudaRandom) -> Self {
        let what = drop.map_or(0, |drop| if drop.per_sample { 2 } else { 1 });
        self.inner()
            .count(what)
            .count(sample_rows)
            .count(drop.map_or(0, |drop| drop.least))
            .float(drop.map_or(1.0, |drop| drop.scale))
            .long(random.seed)
            .count(random.node)
            .pointer(random.step)
    }
}
