//! The simulated second-level cache: 128-byte lines of four sectors, written back, the longest unused goes.

use std::sync::{Mutex, PoisonError};

/// Bytes of a sector, the unit that moves to and from DRAM.
pub(super) const SECTOR: u64 = 32;
/// Sectors of a line.
pub(super) const SECTORS: u64 = 4;

/// Lines that share a set.
const WAYS: usize = 16;
/// Locks over the sets.
const SLICES: usize = 64;
const LINE: u64 = SECTOR * SECTORS;

/// A cache for the counts: it knows which bytes it would hold, and holds none. It may serve several
/// launches, as the real one does; blocks that run on several host threads meet it in no fixed order.
/// There is no first-level cache before it.
///
/// A sector that is only partly written must be read first; one that is written whole is not. (The
/// hardware waits with the read until the sector goes; a kernel that completes its sectors in several
/// stores is charged more here.)
#[derive(Debug)]
pub struct Cache {
    sets: usize,
    slices: Vec<Mutex<Slice>>,
}

#[derive(Debug, Default)]
struct Slice {
    lines: Vec<Line>,
    now: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Line {
    tag: u64,
    used: u64,
    /// Bits of sectors.
    valid: u8,
    dirty: u8,
}

impl Cache {
    /// About `bytes` large (whole sets of 2 KiB).
    pub fn new(bytes: u64) -> Self {
        let sets = (bytes / (LINE * WAYS as u64)).max(1) as usize;
        let slices = (0..SLICES.min(sets)).map(|slice| {
            let lines = vec![Line::default(); (sets - slice).div_ceil(SLICES.min(sets)) * WAYS];
            Mutex::new(Slice { lines, now: 0 })
        });
        Self { sets, slices: slices.collect() }
    }

    /// Bytes it can hold.
    pub fn capacity(&self) -> u64 {
        self.sets as u64 * WAYS as u64 * LINE
    }

    /// Touches `sectors` (bits) of line number `line`; of those written, `whole` are written in every
    /// byte. Returns the sectors read from and written back to DRAM for it.
    pub(super) fn touch(&self, line: u64, sectors: u8, write: bool, whole: u8) -> (u64, u64) {
        // Fibonacci hashing, lest power-of-two strides meet in one set.
        let set = (line.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as usize % self.sets;
        let count = self.slices.len();
        let mut slice = self.slices[set % count].lock().unwrap_or_else(PoisonError::into_inner);
        slice.now += 1;
        let now = slice.now;
        let ways = &mut slice.lines[set / count * WAYS..][..WAYS];
        let (index, written) = find(ways, line);
        let way = &mut ways[index];
        let missing = sectors & !way.valid;
        let read = if write { missing & !whole } else { missing };
        way.used = now;
        way.valid |= sectors;
        way.dirty |= if write { sectors } else { 0 };
        (u64::from(read.count_ones()), written)
    }

    /// Sectors that were written and have not gone to DRAM.
    pub fn dirty(&self) -> u64 {
        let slices = self.slices.iter().map(|s| s.lock().unwrap_or_else(PoisonError::into_inner));
        let of = |line: &Line| u64::from(line.dirty.count_ones());
        slices.map(|slice| slice.lines.iter().map(of).sum::<u64>()).sum()
    }

    /// Writes everything back, as at the end of a measurement: the sectors that were dirty.
    pub fn flush(&self) -> u64 {
        let mut written = 0;
        for slice in &self.slices {
            let mut slice = slice.lock().unwrap_or_else(PoisonError::into_inner);
            for line in &mut slice.lines {
                written += u64::from(line.dirty.count_ones());
                line.dirty = 0;
            }
        }
        written
    }
}

impl Default for Cache {
    /// 50 MB, that of an H100.
    fn default() -> Self {
        Self::new(50 << 20)
    }
}

/// The way of a line, taken from the longest unused if it had none, and the sectors that went for it.
fn find(ways: &mut [Line], tag: u64) -> (usize, u64) {
    if let Some(index) = ways.iter().position(|way| way.valid != 0 && way.tag == tag) {
        return (index, 0);
    }
    let oldest = ways.iter().enumerate().min_by_key(|(_, way)| way.used);
    let index = oldest.map_or(0, |(index, _)| index);
    let written = u64::from(ways[index].dirty.count_ones());
    ways[index] = Line { tag, ..Line::default() };
    (index, written)
}
