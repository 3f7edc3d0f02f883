//! Arguments of a kernel, and how its threads are laid out.

use std::ffi::c_void;

use arrayvec::ArrayVec;

use crate::error::{Error, Result};

/// The most arguments a kernel takes, and their bytes.
const MOST: usize = 48;
const MOST_BYTES: usize = 256;

/// An address on the device. Means nothing on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointer(pub u64);

impl Pointer {
    pub const NULL: Pointer = Pointer(0);

    pub fn offset(self, bytes: usize) -> Pointer {
        Pointer(self.0 + bytes as u64)
    }
}

/// Arguments in the order of the kernel's parameters, as the bytes it will see (devices and hosts are little-endian):
/// each value where C++ would place it in a structure of them all.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    bytes: ArrayVec<u8, MOST_BYTES>,
    /// Where the values begin that are parameters of their own.
    starts: ArrayVec<usize, MOST>,
}

impl Arguments {
    pub fn new() -> Self {
        Self::default()
    }

    fn value<const N: usize>(mut self, bytes: [u8; N]) -> Self {
        self.align(N);
        self.starts.push(self.bytes.len());
        self.bytes.extend(bytes);
        self
    }

    fn align(&mut self, to: usize) {
        while !self.bytes.len().is_multiple_of(to) {
            self.bytes.push(0);
        }
    }

    #[must_use]
    pub fn pointer(self, pointer: Pointer) -> Self {
        self.long(pointer.0)
    }

    /// A count or extent, `int` in the kernel.
    ///
    /// # Panics
    /// It is 2^31 or more: the operation has to check that beforehand.
    #[must_use]
    pub fn count(self, count: usize) -> Self {
        let count = i32::try_from(count).expect("extents are checked when the graph is built");
        self.value(count.to_le_bytes())
    }

    /// `unsigned long long` in the kernel.
    #[must_use]
    pub fn long(self, value: u64) -> Self {
        self.value(value.to_le_bytes())
    }

    #[must_use]
    pub fn float(self, value: f32) -> Self {
        self.value(value.to_le_bytes())
    }

    /// `bool` in the kernel.
    #[must_use]
    pub fn flag(self, value: bool) -> Self {
        self.value([u8::from(value)])
    }

    /// All of them as one parameter, a structure that is aligned to eight bytes; structures in it begin there.
    #[must_use]
    pub fn structure(mut self) -> Self {
        self.align(8);
        self.starts = [0].into_iter().collect();
        self
    }

    /// What follows begins a structure inside of one.
    #[must_use]
    pub fn inner(mut self) -> Self {
        self.align(8);
        self
    }

    /// Where each parameter lies, as the driver wants to be told.
    pub(super) fn places(&self) -> ArrayVec<*mut c_void, MOST> {
        let place = |&start: &usize| std::ptr::from_ref(&self.bytes[start]).cast_mut().cast();
        self.starts.iter().map(place).collect()
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
            Arguments::new().count(5).pointer(Pointer(7).offset(9)).float(1.5).flag(true);
        let places = arguments.places();
        assert_eq!(places.len(), 4);
        // SAFETY: each place holds the bytes of one of the `arguments`, which are alive.
        unsafe {
            assert_eq!(places[0].cast::<i32>().read_unaligned(), 5);
            assert_eq!(places[1].cast::<u64>().read_unaligned(), 16);
            assert_eq!(places[2].cast::<f32>().read_unaligned(), 1.5);
            assert_eq!(places[3].cast::<u8>().read(), 1);
        }
    }

    #[test]
    fn a_structure_is_one_parameter() {
        #[repr(C)]
        #[derive(Debug, PartialEq)]
        struct Inner(i32, u64);
        #[repr(C)]
        #[derive(Debug, PartialEq)]
        struct Outer(i32, u64, f32, Inner, i32);
        let arguments = Arguments::new().count(1).long(2).float(3.0);
        let arguments = arguments.inner().count(4).long(5).count(6).structure();
        let places = arguments.places();
        assert_eq!(places.len(), 1);
        assert_eq!(arguments.bytes.len(), size_of::<Outer>());
        // SAFETY: the place holds as many bytes, and any bytes are an `Outer`.
        let seen = unsafe { places[0].cast::<Outer>().read_unaligned() };
        assert_eq!(seen, Outer(1, 2, 3.0, Inner(4, 5), 6));
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
