//! Memory for one thread's intermediate results: grows to the largest request, is never given back.

use std::cell::RefCell;

use crate::scalar::Scalar;

/// One cache line, so that scratch memory starts on one.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u64; 8]);

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `body` with `len` elements of this thread's memory; what they hold is whatever the last
/// user left. A nested call gets memory of its own.
pub fn with_scratch<S: Scalar, R>(len: usize, body: impl FnOnce(&mut [S]) -> R) -> R {
    let mut lines = LINES.with_borrow_mut(std::mem::take);
    let needed = (len * size_of::<S>()).div_ceil(size_of::<Line>());
    if lines.len() < needed {
        lines.resize(needed, Line([0; 8]));
    }
    let result = body(&mut bytemuck::cast_slice_mut(&mut lines)[..len]);
    LINES.set(lines);
    result
}
