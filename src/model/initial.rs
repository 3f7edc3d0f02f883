//! New weights, drawn from a seed: each parameter from a stream of its own, keyed by its name, so
//! that adding one does not change the others.

use crate::graph::Initial;
use crate::rng::Philox;

/// `len` initial numbers of the parameter `name`.
pub fn draw(initial: Initial, seed: u64, name: &str, len: usize) -> Vec<f32> {
    let mut reader = Philox::new(seed, fnv1a(name)).reader();
    let mut next = || match initial {
        Initial::Constant(value) => value,
        Initial::Normal { std } => std * reader.normal(),
        Initial::TruncatedNormal { std } => std * reader.truncated_normal(2.0),
    };
    (0..len).map(|_| next() as f32).collect()
}

/// The 64-bit FNV-1a hash, fixed for all time: the standard library's may change.
fn fnv1a(name: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    name.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}
