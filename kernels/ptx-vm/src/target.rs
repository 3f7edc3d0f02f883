//! The devices the machine stands in for, and what their launches may ask for.

use crate::launch::Dimensions;
use crate::program::Kernel;

/// Threads of so many in each dimension, or the largest number there is.
fn product(extents: [u32; 3]) -> u64 {
    extents.into_iter().fold(1, |product, n| product.saturating_mul(u64::from(n)))
}

/// A compute capability with its limits (CUDA C++ Programming Guide, "Technical Specifications per Compute Capability").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub name: &'static str,
    pub major: u32,
    pub minor: u32,
    /// Shared memory of a block without asking for more, in bytes.
    pub shared_default: u32,
    /// Shared memory of a block that asked for it.
    pub shared_most: u32,
    pub multiprocessors: u32,
    pub threads_per_multiprocessor: u32,
}

impl Target {
    /// A100.
    pub const SM_80: Target = Target {
        name: "sm_80",
        major: 8,
        minor: 0,
        shared_default: 48 << 10,
        shared_most: 163 << 10,
        multiprocessors: 108,
        threads_per_multiprocessor: 2048,
    };
    /// Cards for graphics of the Ada generation (RTX 4090): less shared memory, fewer threads.
    pub const SM_89: Target = Target {
        name: "sm_89",
        major: 8,
        minor: 9,
        shared_default: 48 << 10,
        shared_most: 99 << 10,
        multiprocessors: 128,
        threads_per_multiprocessor: 1536,
    };
    /// H100 and H200.
    pub const SM_90: Target = Target {
        name: "sm_90",
        major: 9,
        minor: 0,
        shared_default: 48 << 10,
        shared_most: 227 << 10,
        multiprocessors: 132,
        threads_per_multiprocessor: 2048,
    };

    /// Why a launch cannot be, if so.
    pub fn refuses(
        &self,
        kernel: &Kernel,
        dimensions: Dimensions,
        parameter_bytes: usize,
    ) -> Option<String> {
        let Dimensions { grid, block, dynamic_shared } = dimensions;
        let threads = product(block);
        if grid.contains(&0) || block.contains(&0) {
            return Some(format!("grid {grid:?} with blocks of {block:?}: no dimension may be 0"));
        }
        if grid[0] > i32::MAX as u32 || grid[1] > 65_535 || grid[2] > 65_535 {
            return Some(format!("grid {grid:?}; at most [2147483647, 65535, 65535]"));
        }
        if threads > 1024 || block[0] > 1024 || block[1] > 1024 || block[2] > 64 {
            return Some(format!(
                "blocks of {block:?}, {threads} threads; at most [1024, 1024, 64] and 1024 threads"
            ));
        }
        if let Some(most) = kernel.most_threads
            && threads > product(most)
        {
            return Some(format!(
                "blocks of {threads} threads; the kernel was compiled for at most {most:?}"
            ));
        }
        if let Some(exact) = kernel.exact_threads
            && exact != block
        {
            return Some(format!("blocks of {block:?}; the kernel was compiled for {exact:?}"));
        }
        let shared = u64::from(kernel.dynamic_shared_at.max(kernel.shared_bytes))
            + u64::from(dynamic_shared);
        if shared > u64::from(self.shared_most) {
            return Some(format!(
                "{shared} bytes of shared memory; {} has {} a block",
                self.name, self.shared_most
            ));
        }
        if parameter_bytes != kernel.parameter_bytes as usize {
            return Some(format!(
                "{parameter_bytes} bytes of arguments; the kernel takes {}",
                kernel.parameter_bytes
            ));
        }
        None
    }
}
