//! How the numbers of tensors are shared out among blocks: the counterpart of `kernels/common/elementwise.cuh`.

use super::arguments::Layout;
use super::precision::Precision;

/// Of a block.
const THREADS: usize = 256;
/// What a thread moves at once.
const VECTOR_BYTES: usize = 16;
/// Vectors of a thread that goes through rows.
const ROWS_VECTORS: usize = 2;

/// Blocks for a tensor of `numbers` numbers.
pub fn blocks(numbers: usize, precision: Precision) -> usize {
    numbers.div_ceil(THREADS * VECTOR_BYTES / precision.bytes())
}

/// A launch that goes through a tensor of `numbers` numbers.
pub fn elements(numbers: usize, precision: Precision) -> Layout {
    Layout::row(blocks(numbers, precision), THREADS as u32)
}

/// Blocks for rows of `numbers` numbers in all.
///
/// # Panics
/// They are 2^31 or more: the operation has to check that beforehand.
pub fn blocks_of_rows(numbers: usize, precision: Precision) -> usize {
    assert!(i32::try_from(numbers).is_ok(), "extents are checked when the graph is built");
    numbers.div_ceil(ROWS_VECTORS * THREADS * VECTOR_BYTES / precision.bytes())
}

/// A launch that goes through rows of `numbers` numbers in all.
pub fn rows(numbers: usize, precision: Precision) -> Layout {
    Layout::row(blocks_of_rows(numbers, precision), THREADS as u32)
}
