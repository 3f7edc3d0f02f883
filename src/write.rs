//! Whether a result replaces what is there or is added to it.

use crate::scalar::Scalar;

/// How a gradient contribution is written. The first writer of a gradient sets it, every later
/// one adds: nothing is ever cleared beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Set,
    Add,
}

impl Write {
    /// Whether what is there stays.
    pub fn adds(self) -> bool {
        self == Write::Add
    }

    /// Writes one value.
    #[inline(always)]
    pub fn put<S: Scalar>(self, slot: &mut S, value: S) {
        match self {
            Write::Set => *slot = value,
            Write::Add => *slot += value,
        }
    }

    /// Writes a row of values.
    #[inline(always)]
    pub fn put_all<S: Scalar>(self, slots: &mut [S], values: impl IntoIterator<Item = S>) {
        match self {
            Write::Set => {
                for (slot, v) in slots.iter_mut().zip(values) {
                    *slot = v;
                }
            }
            Write::Add => {
                for (slot, v) in slots.iter_mut().zip(values) {
                    *slot += v;
                }
            }
        }
    }

    /// Makes `slots` ready for several additions by one writer: clears them if it sets.
    pub fn begin<S: Scalar>(self, slots: &mut [S]) {
        if self == Write::Set {
            slots.fill(S::ZERO);
        }
    }
}
