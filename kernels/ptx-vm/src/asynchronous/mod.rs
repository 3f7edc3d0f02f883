//! What a block has started and not waited for: copies, bulk copies, matrix products, and the mbarriers they report to.
//!
//! Every effect comes as late as PTX allows, at the wait that makes it visible. Until then the bytes it will write in
//! shared memory count as unwritten, so a wait too few is found on every run.

/// `cp.async` of a warp.
mod copies;

pub use copies::{Copies, Copy};

/// All that is pending in a block.
#[derive(Debug, Default)]
pub struct Asynchronous {
    /// For each warp its `cp.async`.
    pub copies: Vec<Copies>,
}

impl Asynchronous {
    /// The next block, of so many warps, starts: what the last one left is forgotten.
    pub fn start(&mut self, warps: usize) {
        self.copies.resize_with(warps, Copies::default);
        self.copies.iter_mut().for_each(Copies::clear);
    }

    /// The number of the instruction that started the copy which brings the byte of shared memory at `address`.
    pub fn copy_into(&self, address: u64) -> Option<u32> {
        self.copies.iter().find_map(|copies| copies.into(address))
    }
}
