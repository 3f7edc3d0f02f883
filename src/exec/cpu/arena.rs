//! The memory of a CPU session.

use std::cell::UnsafeCell;

use crate::graph::Place;
use crate::scalar::Scalar;

/// Bytes that the arena begins at a multiple of: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;

/// Memory whose pieces are handed out by place. It is one allocation for the session's life.
pub(super) struct Arena<S> {
    cells: Box<[UnsafeCell<S>]>,
    /// The first element that is handed out.
    first: usize,
    len: usize,
}

// SAFETY: shared access needs the promises of `shared` and `exclusive`.
unsafe impl<S: Sync> Sync for Arena<S> {}

impl<S: Scalar> Arena<S> {
    pub(super) fn new(len: usize) -> Self {
        // Zeroed memory comes from the system untouched; cells made one by one would touch it.
        // Memory asked for with an alignment would be cleared by hand, so the first line is found in
        // one that has some more.
        let spare = ALIGNMENT / size_of::<S>();
        let zeros = Box::into_raw(vec![S::ZERO; len + spare].into_boxed_slice());
        // SAFETY: a cell has the layout of what it holds, and the box was just given up.
        let cells = unsafe { Box::from_raw(zeros as *mut [UnsafeCell<S>]) };
        let first = cells.as_ptr().align_offset(ALIGNMENT).min(spare);
        Self { cells, first, len }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn range(&self, place: Place) -> (usize, usize) {
        let (start, len) = (place.offset / size_of::<S>(), place.len / size_of::<S>());
        assert!(start + len <= self.len, "a place beyond the arena");
        (self.first + start, len)
    }

    pub(super) fn get(&self, place: Place) -> &[S] {
        // SAFETY: `&self` of a session: no pass is running, so nothing is written.
        unsafe { self.shared(place) }
    }

    pub(super) fn get_mut(&mut self, place: Place) -> &mut [S] {
        // SAFETY: `&mut self`.
        unsafe { self.exclusive(place) }
    }

    /// # Safety
    /// Nothing in `place` is written while the slice is alive.
    pub(super) unsafe fn shared(&self, place: Place) -> &[S] {
        let (start, len) = self.range(place);
        // SAFETY: in bounds; the caller's promise.
        unsafe { std::slice::from_raw_parts(self.cells.as_ptr().add(start).cast(), len) }
    }

    /// # Safety
    /// Nothing else refers to anything in `place` while the slice is alive.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn exclusive(&self, place: Place) -> &mut [S] {
        let (start, len) = self.range(place);
        // SAFETY: in bounds; the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.cells.as_ptr().add(start) as *mut S, len) }
    }
}
