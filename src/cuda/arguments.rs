//! Arguments of a kernel, and how its threads are laid out.

use std::ffi::c_void;

use arrayvec::ArrayVec;

use crate::error::{Error, Result};

/// The most arguments a kernel takes.
const MOST: usize = 32;

/// An address on the device. Means nothing on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointer(pub u64);

impl Pointer {
    pub const NULL: Pointer = Pointer(0);

    pub fn offset(self, bytes: usize) -> Pointer {
        Pointer(self.0 + bytes as u64)
    }
}

/// Arguments in the order of the kernel's parameters, as the bytes it will see: each value in the
/// low bytes of eight (devices and hosts are little-endian).
#[derive(Clone, Debug, Default)]
pub struct Arguments(ArrayVec<u64, MOST>);

impl Arguments {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn pointer(mut self, pointer: Pointer) -> Self {
        self.0.push(pointer.0);
        self
    }

    /// A count or extent, `int` in the kernel.
    ///
    /// # Panics
    /// It is 2^31 or more: the operation has to check that beforehand.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        let count = i32::try_from(count).expect("extents are checked when the graph is built");
        self.0.push(u64::from(count as u32));
        self
    }

    /// `unsigned long long` in the kernel.
    #[must_use]
    pub fn long(mut self, value: u64) -> Self {
        self.0.push(value);
        self
    }

    #[must_use]
    pub fn float(mut self, value: f32) -> Self {
        self.0.push(u64::from(value.to_bits()));
        self
    }

    /// `bool` in the kernel.
    #[must_use]
    pub fn flag(mut self, value: bool) -> Self {
        self.0.push(u64::from(value));
        self
    }

    /// Where each argument lies, as the driver wants to be told.
    pub(super) fn places(&self) -> ArrayVec<*mut c_void, MOST> {
        self.0.iter().map(|value| std::ptr::from_ref(value).cast_mut().cast()).collect()
    }
}

/// Blocks, threads of a block, and shared memory beyond what the kernel declares, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub shared: u32,
}

impl Layout {
    /// `blocks` blocks of `threads` threads in a row.
    pub fn row(blocks: usize, threads: u32) -> Self {
        let blocks = u32::try_from(blocks).expect("extents are checked when the graph is built");
        Self { grid: [blocks, 1, 1], block: [threads, 1, 1], shared: 0 }
    }

    /// # Errors
    /// A dimension that is zero or that no device has.
    pub fn check(&self, kernel: &str, most_shared: u32) -> Result<()> {
        let threads: u64 = self.block.iter().map(|&n| u64::from(n)).product();
        let wrong = |what: String| Err(Error::usage(format!("launching {kernel}: {what}")));
        if self.grid.contains(&0) || self.block.contains(&0) {
            return wrong(format!(
                "grid {:?} of blocks {:?} has no threads",
                self.grid, self.block
            ));
        }
        if self.grid[0] > i32::MAX as u32 || self.grid[1..].iter().any(|&n| n > 65_535) {
            return wrong(format!("grid {:?}; at most [2147483647, 65535, 65535]", self.grid));
        }
        if threads > 1024 || self.block[2] > 64 {
            return wrong(format!("blocks of {:?}; at most 1024 threads", self.block));
        }
        if self.shared > most_shared {
            return wrong(format!(
                "{} bytes of shared memory; the device has {most_shared}",
                self.shared
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_the_bytes_a_kernel_sees() {
        let arguments =
            Arguments::new().pointer(Pointer(7).offset(9)).count(5).float(1.5).flag(true);
        let places = arguments.places();
        // SAFETY: each place holds eight bytes of `arguments`, which is alive.
        let read = |i: usize| unsafe { places[i].cast::<u64>().read() };
        assert_eq!([read(0), read(1), read(2), read(3)], [16, 5, u64::from(1.5f32.to_bits()), 1]);
    }

    #[test]
    fn layouts_no_device_has_are_refused() {
        let good = Layout::row(3, 256);
        good.check("k", 0).expect("three blocks");
        for (layout, part) in [
            (Layout { grid: [1, 0, 1], ..good }, "no threads"),
            (Layout { grid: [1, 65_536, 1], ..good }, "65535"),
            (Layout { block: [1025, 1, 1], ..good }, "1024"),
            (Layout { block: [1, 1, 65], ..good }, "1024"),
            (Layout { shared: 1, ..good }, "1 bytes of shared memory"),
        ] {
            let error = layout.check("the_kernel", 0).expect_err(part).to_string();
            assert!(error.contains(part) && error.contains("the_kernel"), "{error}");
        }
    }
}
