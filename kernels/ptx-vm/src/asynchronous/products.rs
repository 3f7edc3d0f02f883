//! `wgmma` of a warp, from its start to the wait for its group: kept only where effects come at the last moment.

use std::collections::VecDeque;

use crate::registers::{LANES, Row, Slot};

/// What the registers of a sum hold while a product is on its way: NaN in every format.
pub const IN_FLIGHT: u32 = 0xffff_ffff;

/// A place of 16 bytes in shared memory and what it held.
pub type Piece = (u64, [u8; 16]);

/// One `wgmma.mma_async` of a warp.
#[derive(Debug)]
pub struct Product {
    /// Registers of D and what they will hold.
    pub sums: Vec<(Slot, [u32; LANES])>,
    /// Registers of A and what they held.
    pub registers: Vec<(Slot, [u32; LANES])>,
    /// What it reads of shared memory.
    pub pieces: Vec<Piece>,
    /// Number of the instruction.
    pub pc: u32,
    group: u32,
}

/// All that a warp has started and not waited for, in order.
#[derive(Debug, Default)]
pub struct Products {
    pending: VecDeque<Product>,
    /// Number of the group that is open.
    open: u32,
    /// The registers at the last `wgmma.fence`.
    pub fenced: Option<Vec<Row>>,
    /// A `wgmma.fence` has been passed.
    pub any_fence: bool,
}

impl Product {
    pub fn new(pc: u32) -> Self {
        let (sums, registers, pieces) = (Vec::new(), Vec::new(), Vec::new());
        Self { sums, registers, pieces, pc, group: 0 }
    }
}

impl Products {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Starts a product in the open group.
    pub fn start(&mut self, mut product: Product) {
        product.group = self.open;
        self.pending.push_back(product);
    }

    /// Closes the open group.
    pub fn commit(&mut self) {
        self.open += 1;
    }

    /// Groups closed since the start.
    pub fn committed(&self) -> u32 {
        self.open
    }

    /// What a register will hold, if a product is on its way into it.
    pub fn sum(&self, slot: Slot) -> Option<&[u32; LANES]> {
        let mut sums = self.pending.iter().rev().flat_map(|product| &product.sums);
        sums.find(|(other, _)| *other == slot).map(|(_, words)| words)
    }

    /// Takes out what the products in the first `groups` groups read of shared memory, with their instructions' numbers.
    pub fn take_pieces(&mut self, groups: u32) -> Vec<(u32, Vec<Piece>)> {
        let due = self.pending.iter_mut().take_while(|product| product.group < groups);
        due.map(|product| (product.pc, std::mem::take(&mut product.pieces))).collect()
    }

    /// Takes out the products in all but the last `allowed` closed groups.
    pub fn arrive(&mut self, allowed: u32) -> Vec<Product> {
        let open = self.open;
        let due =
            self.pending.iter().take_while(|p| p.group.saturating_add(allowed) < open).count();
        self.pending.drain(..due).collect()
    }
}
