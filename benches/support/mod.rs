//! Which machine a bench runs on: `CRFORMER_BENCH_DEVICE` is `cpu` (if nothing is said), `cuda:N` or `vm`; and how
//! many pictures at once: `CRFORMER_BENCH_BATCH`, one number or several.

use crformer::error::{Error, Result};
use crformer::exec::Device;

/// The machine that was asked for.
pub fn device() -> Result<Device> {
    std::env::var("CRFORMER_BENCH_DEVICE").map_or(Ok(Device::Cpu), |name| name.parse())
}

/// The batches that were asked for, if any were.
pub fn batches() -> Result<Option<Vec<usize>>> {
    let Ok(text) = std::env::var("CRFORMER_BENCH_BATCH") else { return Ok(None) };
    let number = |word: &str| {
        let wrong = || Error::usage(format!("CRFORMER_BENCH_BATCH: {word:?} is no batch"));
        word.parse().ok().filter(|&batch: &usize| batch > 0).ok_or_else(wrong)
    };
    text.split_whitespace().map(number).collect::<Result<Vec<_>>>().map(Some)
}
