//! Who touched a word last: the race detector's record of a stretch of memory.

use super::access::lanes;
use super::observers::Observers;
use super::party::{Party, Visit};
use super::refusal::Want;
use super::watch::LanesAt;
use crate::error::Checked;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of memory a page records.
pub(super) const PAGE: u64 = 1024;

/// The parties a later access may race with: two at hand, more in a list of the page. (Who reads comes
/// beside who wrote; who writes stands alone, since all others came before or were reported.)
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    parties: [Party; 2],
    /// Index of the list, plus 1; 0 for none.
    list: u32,
    /// One of the parties wrote: reads race with nobody until then.
    written: bool,
}

/// Where what is recorded of an address lies.
pub(super) trait Pages {
    /// The page, and the offset of the address in it; `None` where nothing is recorded.
    fn at(&mut self, address: u64) -> Option<(&mut Page, u64)>;
}

/// The record of [`PAGE`] bytes: a cell for every 16 bytes, or for as few as the smallest access to the page had.
/// (Neighbouring bytes belong to whom they belong: bf16 is stored two by two.)
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Binary logarithm of a cell's bytes, 16 to 1.
    grain: u32,
    cells: Vec<Cell>,
    lists: Lists,
    observers: Observers,
}

/// Cells of earlier launches: the system's fresh memory would cost about as much as all that is recorded in it.
static SPARE: Mutex<Vec<Vec<Cell>>> = Mutex::new(Vec::new());
/// At most about 50 MB of them.
const MOST_SPARE: usize = 4096;
const MOST_CELLS: usize = PAGE as usize / 4;
/// Bytes of the largest cell: the widest access there is much of (`v4.f32`, `cp.async`, a row of `ldmatrix`).
const COARSE: u64 = 16;

fn spare() -> MutexGuard<'static, Vec<Vec<Cell>>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut spare = spare();
        if (1..=MOST_CELLS).contains(&self.cells.capacity()) && spare.len() < MOST_SPARE {
            spare.push(std::mem::take(&mut self.cells));
        }
    }
}

impl Page {
    /// Records an access to `want.width` bytes at `offset` of the page, or reports its race with an
    /// earlier one.
    pub fn visit(&mut self, visit: &Visit, want: &Want, offset: u64) -> Checked<()> {
        self.make_fine(want.width);
        self.visit_cells(visit, want, offset)
    }

    /// [`Page::visit`] by each of some lanes that stand in one epoch and lie in the page, which begins at `start`.
    pub fn visit_lanes(
        &mut self,
        visit: &mut Visit,
        lanes_at: &LanesAt,
        mask: u32,
        start: u64,
    ) -> Checked<()> {
        self.make_fine(lanes_at.width);
        for lane in lanes(mask) {
            visit.party.lanes = 1 << lane;
            let want = lanes_at.want(lane);
            self.visit_cells(visit, &want, want.address - start)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn visit_cells(&mut self, visit: &Visit, want: &Want, offset: u64) -> Checked<()> {
        let cells = self.cells_of(want, offset);
        if visit.is_strong_store() {
            self.replace(visit, cells.clone());
        }
        let first = cells.start;
        for (index, cell) in self.cells.get_mut(cells.clone()).into_iter().flatten().enumerate() {
            if visit.repeats(&cell.parties[0]) || visit.repeats(&cell.parties[1]) {
                continue;
            }
            if cell.written || visit.writes() {
                if cell.rival(visit, &self.lists).is_some()
                    && let Some(old) =
                        cell.unseen_rival(visit, &self.lists, &self.observers, first + index)
                {
                    return Err(visit.report(want, old));
                }
                cell.written |= visit.writes();
            }
            cell.record(visit, &mut self.lists);
        }
        if visit.writes() && !self.observers.is_empty() {
            cells.for_each(|cell| self.observers.forget(cell));
        }
        Ok(())
    }

    /// A strong read has seen what was written last: what its thread does from now on comes after that.
    pub fn observe(&mut self, visit: &Visit, want: &Want, offset: u64) {
        let cells = self.cells_of(want, offset);
        let first = cells.start;
        for (index, cell) in self.cells.get(cells).into_iter().flatten().enumerate() {
            if cell.all(&self.lists).any(|old| visit.learns(old)) {
                self.observers.add(first + index, &visit.party);
            }
        }
    }

    /// A strong store puts its value over those of others that it does not come after.
    fn replace(&mut self, visit: &Visit, cells: Range<usize>) {
        let first = cells.start;
        for (index, cell) in self.cells.get_mut(cells).into_iter().flatten().enumerate() {
            if !self.observers.precede(first + index, visit) {
                let listed = self.lists.of_mut(cell.list).iter_mut();
                cell.parties.iter_mut().chain(listed).for_each(|old| visit.covers_up(old));
            }
        }
    }

    #[inline]
    fn cells_of(&self, want: &Want, offset: u64) -> Range<usize> {
        (offset >> self.grain) as usize..((offset + want.width) >> self.grain) as usize
    }

    /// Nobody touched anything.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.lists.clear();
        self.observers = Observers::default();
    }

    /// Splits the cells until one is no larger than `width` bytes.
    #[inline]
    fn make_fine(&mut self, width: u64) {
        if self.cells.is_empty() {
            self.grain = width.min(COARSE).trailing_zeros();
            self.cells = spare().pop().unwrap_or_default();
            self.cells.clear();
            self.cells.resize((PAGE >> self.grain) as usize, Cell::default());
        }
        if 1 << self.grain > width {
            self.split(width.trailing_zeros());
        }
    }

    /// Cells of `grain` in place of the larger ones there are: each part begins with what the whole has.
    #[cold]
    fn split(&mut self, grain: u32) {
        let parts = 1usize << (self.grain - grain);
        let coarse = std::mem::take(&mut self.cells);
        self.cells.reserve(parts * coarse.len());
        for cell in coarse {
            self.cells.push(cell);
            for _ in 1..parts {
                let list = self.lists.copy(cell.list);
                self.cells.push(Cell { list, ..cell });
            }
        }
        self.grain = grain;
        self.observers.split(parts);
    }
}

impl Cell {
    /// The party the access races with.
    #[inline]
    fn rival<'a>(&'a self, visit: &Visit, lists: &'a Lists) -> Option<&'a Party> {
        let [one, other] = &self.parties;
        if visit.races(one) {
            return Some(one);
        }
        if visit.races(other) {
            return Some(other);
        }
        if self.list == 0 { None } else { lists.of(self.list).iter().find(|old| visit.races(old)) }
    }

    /// The same, less the strong writes that were seen before the access came.
    #[cold]
    fn unseen_rival<'a>(
        &'a self,
        visit: &Visit,
        lists: &'a Lists,
        observers: &Observers,
        index: usize,
    ) -> Option<&'a Party> {
        let seen = observers.precede(index, visit);
        self.all(lists).find(|old| visit.races(old) && !(seen && visit.could_see(old)))
    }

    fn all<'a>(&'a self, lists: &'a Lists) -> impl Iterator<Item = &'a Party> {
        self.parties.iter().chain(lists.of(self.list))
    }

    /// Takes the party in, in place of those it makes superfluous.
    #[inline]
    fn record(&mut self, visit: &Visit, lists: &mut Lists) {
        if visit.party.kind.is_weak_write() {
            lists.give_back(self.list);
            *self = Cell { parties: [visit.party, Party::default()], list: 0, written: true };
        } else if self.parties.iter_mut().any(|old| visit.merges(old)) {
        } else if let Some(free) = self.parties.iter_mut().find(|old| old.epoch == 0) {
            *free = visit.party;
        } else {
            self.list = lists.take_in(self.list, visit);
        }
    }
}

/// The lists of a page, numbered from 1.
#[derive(Debug, Default)]
struct Lists {
    lists: Vec<Vec<Party>>,
    unused: Vec<u32>,
}

impl Lists {
    fn clear(&mut self) {
        self.lists.iter_mut().for_each(Vec::clear);
        self.unused.clear();
        self.unused.extend(1..=self.lists.len() as u32);
    }

    fn of(&self, list: u32) -> &[Party] {
        (list as usize).checked_sub(1).and_then(|index| self.lists.get(index)).map_or(&[], |l| l)
    }

    fn of_mut(&mut self, list: u32) -> &mut [Party] {
        match (list as usize).checked_sub(1).and_then(|index| self.lists.get_mut(index)) {
            Some(parties) => parties,
            None => &mut [],
        }
    }

    /// An empty list.
    fn new_list(&mut self) -> u32 {
        self.unused.pop().unwrap_or_else(|| {
            self.lists.push(Vec::new());
            self.lists.len() as u32
        })
    }

    fn copy(&mut self, list: u32) -> u32 {
        if list == 0 {
            return 0;
        }
        let parties = self.of(list).to_vec();
        let copy = self.new_list();
        self.lists[copy as usize - 1] = parties;
        copy
    }

    fn give_back(&mut self, list: u32) {
        if list != 0 {
            self.lists[list as usize - 1].clear();
            self.unused.push(list);
        }
    }

    /// Adds a party to a list, or to a new one for list 0. Beyond the most that are kept one makes room:
    /// its race may be missed then.
    fn take_in(&mut self, list: u32, visit: &Visit) -> u32 {
        let list = if list == 0 { self.new_list() } else { list };
        let parties = &mut self.lists[list as usize - 1];
        if parties.len() >= visit.most {
            // What many read is looked for at one place only: looking everywhere would cost the most there.
            let place = visit.party.hash() % parties.len();
            if !visit.merges(&mut parties[place]) {
                parties[place] = visit.party;
            }
        } else if !parties.iter_mut().any(|old| visit.merges(old)) {
            parties.push(visit.party);
        }
        list
    }
}
