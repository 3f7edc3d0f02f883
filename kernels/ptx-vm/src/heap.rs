//! What kernels take with `malloc`: pieces of one allocation of the module, which outlive launches.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of the heap: what CUDA gives without being asked.
pub const HEAP_BYTES: u64 = 8 << 20;
/// What every piece is a multiple of.
const STEP: u64 = 16;

/// The heap of a module whose kernels take memory.
#[derive(Debug)]
pub struct Heap {
    pub address: u64,
    pieces: Mutex<Pieces>,
}

#[derive(Debug, Default)]
struct Pieces {
    /// First free byte. No place is given twice while any piece is in use: what is freed stays out of use.
    next: u64,
    /// Size of each piece in use, by its offset.
    used: BTreeMap<u64, u64>,
}

impl Heap {
    pub fn new(address: u64) -> Self {
        Self { address, pieces: Mutex::default() }
    }

    fn pieces(&self) -> MutexGuard<'_, Pieces> {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A launch begins: if no piece is in use the heap starts anew.
    pub fn begin(&self) {
        let mut pieces = self.pieces();
        if pieces.used.is_empty() {
            pieces.next = 0;
        }
    }

    /// A piece of so many bytes; `None` where there is no room.
    pub fn take(&self, bytes: u64) -> Option<u64> {
        let mut pieces = self.pieces();
        let offset = pieces.next;
        let end = offset.checked_add(bytes.max(1).checked_next_multiple_of(STEP)?)?;
        if end > HEAP_BYTES {
            return None;
        }
        pieces.next = end;
        pieces.used.insert(offset, bytes);
        Some(self.address + offset)
    }

    /// Gives a piece back, and says how large it was; `None` if none in use begins there.
    pub fn give_back(&self, address: u64) -> Option<u64> {
        self.pieces().used.remove(&address.checked_sub(self.address)?)
    }
}
