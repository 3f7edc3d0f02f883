//! Memory for one thread's intermediate results: grows to the largest request, is never given back.
//!
//! It is `RESERVE` from the first request on, so that which thread does what does not decide
//! whether a pass takes memory.

use std::cell::RefCell;

use crate::scalar::Scalar;

/// One cache line, so that scratch memory starts on one.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// Bytes of a thread's memory: a product's packed blocks and an attention's tile take less, at the
/// paper's sizes, than half of it in `f32`.
const RESERVE: usize = 4 << 20;

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with `len` elements of this thread's memory; what they hold is whatever the last
/// user left. A nested call gets memory of its own.
pub fn with_scratch<S: Scalar, R>(len: usize, body: impl FnOnce(&mut [S]) -> R) -> R {
    let mut lines = LINES.with_borrow_mut(std::mem::take);
    let needed = (len * size_of::<S>()).div_ceil(size_of::<Line>());
    if lines.len() < needed {
        lines.resize(needed.max(RESERVE / size_of::<Line>()), Line([0; 8]));
    }
    let result = body(&mut bytemuck::cast_slice_mut(&mut lines)[..len]);
    LINES.set(lines);
    result
}

/// Takes this thread's memory, if it has none yet.
pub fn reserve() {
    with_scratch(1, |_: &mut [f32]| ());
}
