//! Who has seen the strong writes of a word. The memory model orders a strong write before all that comes after a strong
//! read of its value (observation order, then program order): the block that draws the last ticket may set the
//! counter back with an ordinary store.

use super::party::{Party, Visit};
use std::collections::HashMap;

/// Observers kept of one cell; with more of them everybody counts as one.
const MOST: usize = 1024;

/// For each cell of a page that had strong writes those who read all of them since.
#[derive(Debug, Default)]
pub(super) struct Observers {
    cells: HashMap<usize, Seen>,
}

#[derive(Debug, Clone)]
enum Seen {
    By(Vec<Party>),
    ByAll,
}

impl Observers {
    /// Nobody has seen anything.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The reader has seen what was written to the cell.
    pub fn add(&mut self, cell: usize, reader: &Party) {
        let seen = self.cells.entry(cell).or_insert_with(|| Seen::By(Vec::new()));
        let Seen::By(parties) = seen else { return };
        let warp = |party: &Party| (party.block, party.warp, party.epoch);
        if let Some(party) = parties.iter_mut().find(|party| warp(party) == warp(reader)) {
            party.lanes |= reader.lanes;
        } else if parties.len() < MOST {
            parties.push(*reader);
        } else {
            *seen = Seen::ByAll;
        }
    }

    /// Does each lane of the access come after some observer?
    pub fn precede(&self, cell: usize, visit: &Visit) -> bool {
        match self.cells.get(&cell) {
            None => false,
            Some(Seen::ByAll) => true,
            Some(Seen::By(parties)) => visit.follows_one_of(parties),
        }
    }

    /// The cell was written again: of that nobody knows yet.
    pub fn forget(&mut self, cell: usize) {
        self.cells.remove(&cell);
    }

    /// Each cell becomes `parts` of them.
    pub fn split(&mut self, parts: usize) {
        let coarse = std::mem::take(&mut self.cells);
        for (cell, seen) in coarse {
            let fine = parts * cell..parts * (cell + 1);
            self.cells.extend(fine.map(|part| (part, seen.clone())));
        }
    }
}
