//! Tests of the memory: every rule broken and nearly broken, races and their absence, counts.

/// The simulated cache.
mod cache;
/// Sectors and bank conflicts.
mod counts;
/// Allocating, freeing, copying.
mod device;
/// Loads, stores and atomics of warps in global memory.
mod global;
/// Barriers, fences and flags, as the detector understands them.
mod order;
/// Races in global memory, between blocks too.
mod race_global;
/// Races in shared memory, against a plain detector.
mod race_model;
/// Races in shared memory.
mod race_shared;
/// Shared, local and parameter memory.
mod spaces;
/// What an access costs the host; run with `--ignored --nocapture`.
mod speed;
/// Host threads at one memory.
mod threads;

use ptx_vm::error::{Checked, Rule};
use ptx_vm::memory::{Access, LANES};

/// Addresses `start`, `start + step`, ...
fn strided(start: u64, step: u64) -> [u64; LANES] {
    std::array::from_fn(|lane| start + lane as u64 * step)
}

/// The first warp of block 0, all lanes.
fn warp() -> Access<'static> {
    Access::new(!0, 0, 0)
}

/// Some of its lanes.
fn some(mask: u32) -> Access<'static> {
    Access::new(mask, 0, 0)
}

/// Asserts which rule was broken, by which lane, at which address; returns the message.
#[track_caller]
fn broken<T: std::fmt::Debug>(result: Checked<T>, rule: Rule, lane: u32, address: u64) -> String {
    let violation = result.expect_err("a rule is broken");
    assert_eq!(
        (violation.rule, violation.lane, violation.address),
        (rule, Some(lane), Some(address)),
        "{violation:?}"
    );
    violation.message
}
