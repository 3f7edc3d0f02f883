//! The driver's side of global memory: allocating, freeing, copying.

use super::global::GlobalView;
use super::live::{Allocation, Live};
use super::region::Region;
use super::window;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the addresses of allocations are multiples of, and not more: as a real driver's least.
const ALIGNMENT: u64 = 512;
/// Each allocation lies in stretches of its own, at least one apart from the next.
const STRETCH: u64 = 1 << 16;
/// No address reaches this.
const LAST: u64 = 1 << 47;
/// Bytes copied or filled at a time.
const CHUNK: usize = 1 << 16;

/// Why the driver cannot do as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryError {
    /// An allocation of no bytes.
    Empty,
    /// The device has no room: bytes asked for, and free.
    OutOfMemory { asked: u64, free: u64 },
    /// The host has no room for what the device would have.
    HostOutOfMemory { asked: u64 },
    /// The range lies in no live allocation.
    NoAllocation { address: u64, bytes: u64, freed: bool },
    /// The range runs over the end of the allocation it starts in.
    OverEnd { address: u64, bytes: u64, base: u64, size: u64 },
    /// Only the start of an allocation can be freed.
    NotTheStart { address: u64, base: u64 },
    /// Source and target of a copy have bytes in common.
    Overlap { from: u64, to: u64, bytes: u64 },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "an allocation of no bytes"),
            Self::OutOfMemory { asked, free } => {
                write!(f, "{asked} bytes asked for, {free} of the device's are free")
            }
            Self::HostOutOfMemory { asked } => {
                write!(f, "the host has no memory for an allocation of {asked} bytes")
            }
            Self::NoAllocation { address, bytes, freed } => {
                let what = if *freed { "a freed allocation" } else { "no allocation" };
                write!(f, "{bytes} bytes at 0x{address:x} start in {what}")
            }
            Self::OverEnd { address, bytes, base, size } => {
                write!(f, "{bytes} bytes at 0x{address:x} run over the end of the {size} bytes ")?;
                write!(f, "allocated at 0x{base:x}")
            }
            Self::NotTheStart { address, base } => {
                write!(f, "0x{address:x} is inside the allocation at 0x{base:x}, not its start")
            }
            Self::Overlap { from, to, bytes } => {
                write!(f, "{bytes} bytes at 0x{from:x} and at 0x{to:x} overlap")
            }
        }
    }
}

impl std::error::Error for MemoryError {}

/// Global memory of a device. Threads of the host may use it together; copies that race with each
/// other or with a running kernel get some of the bytes of either.
///
/// Addresses are never used again, so that a freed one is told from one that never was. Memory of the
/// host is committed as it is touched. What is freed while a launch uses it lives on for that launch.
pub struct Memory {
    capacity: u64,
    state: Mutex<State>,
}

struct State {
    live: Arc<Live>,
    next: u64,
    used: u64,
}

/// Nothing panics while it holds a lock of these; a poisoned one is as good as any.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Memory {
    /// 8 GiB.
    fn default() -> Self {
        Self::new(8 << 30)
    }
}

impl Memory {
    /// A device with `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let state = State { live: Arc::default(), next: window::GLOBAL, used: 0 };
        Self { capacity, state: Mutex::new(state) }
    }

    /// Bytes of the device, and those of them that are free.
    pub fn capacity(&self) -> (u64, u64) {
        (self.capacity, self.capacity - lock(&self.state).used)
    }

    /// `bytes` new bytes, none of them written; their address is a multiple of 512.
    ///
    /// # Errors
    /// No bytes asked for, or more than the device or the host has.
    pub fn allocate(&self, bytes: u64) -> Result<u64, MemoryError> {
        if bytes == 0 {
            return Err(MemoryError::Empty);
        }
        let mut state = lock(&self.state);
        let free = self.capacity - state.used;
        let room = bytes.checked_next_multiple_of(ALIGNMENT).filter(|&room| room <= free);
        let base = state.next + ALIGNMENT;
        let end = base.checked_add(bytes).filter(|&end| end < LAST);
        let (Some(room), Some(end)) = (room, end) else {
            return Err(MemoryError::OutOfMemory { asked: bytes, free });
        };
        let region =
            Region::new(base, bytes).ok_or(MemoryError::HostOutOfMemory { asked: bytes })?;
        state.next = end.next_multiple_of(STRETCH) + STRETCH;
        state.used += room;
        let allocation = Allocation::new(region);
        Arc::make_mut(&mut state.live).allocations.push(Arc::new(allocation));
        Ok(base)
    }

    /// Ends an allocation.
    ///
    /// # Errors
    /// The address is not the start of a live one.
    pub fn free(&self, address: u64) -> Result<(), MemoryError> {
        let mut state = lock(&self.state);
        let index = state.live.index(address).ok_or_else(|| nowhere(&state.live, address, 1))?;
        let region = &state.live.allocations[index].region;
        let (base, size) = (region.base, region.size());
        if base != address {
            return Err(MemoryError::NotTheStart { address, base });
        }
        Arc::make_mut(&mut state.live).forget(index);
        state.used -= size.next_multiple_of(ALIGNMENT);
        Ok(())
    }

    /// The allocation an address lies in.
    ///
    /// # Errors
    /// There is none.
    pub fn allocation(&self, address: u64) -> Result<Range<u64>, MemoryError> {
        let found = self.find(address, 1)?;
        Ok(found.region.base..found.region.base + found.region.size())
    }

    /// From now on kernels may only read the allocation an address lies in (`.const`).
    ///
    /// # Errors
    /// There is none.
    pub fn protect(&self, address: u64) -> Result<(), MemoryError> {
        self.find(address, 1)?.make_constant();
        Ok(())
    }

    /// Copies to the host. Bytes nobody wrote read as zero: the driver may copy a buffer whole.
    ///
    /// # Errors
    /// The range does not lie in one live allocation.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), MemoryError> {
        let found = self.find(address, to.len() as u64)?;
        found.region.storage.read(address - found.region.base, to);
        Ok(())
    }

    /// The first byte of a range that nobody wrote.
    ///
    /// # Errors
    /// As for [`Memory::read`].
    pub fn unwritten(&self, address: u64, bytes: u64) -> Result<Option<u64>, MemoryError> {
        let found = self.find(address, bytes)?;
        let base = found.region.base;
        let missing = found.region.storage.written.first_missing(address - base, bytes);
        Ok(missing.map(|offset| base + offset))
    }

    /// Copies from the host.
    ///
    /// # Errors
    /// As for [`Memory::read`].
    pub fn write(&self, address: u64, from: &[u8]) -> Result<(), MemoryError> {
        let found = self.find(address, from.len() as u64)?;
        found.region.storage.write(address - found.region.base, from);
        Ok(())
    }

    /// Writes `pattern` `repeats` times.
    ///
    /// # Errors
    /// As for [`Memory::read`].
    pub fn fill(&self, address: u64, pattern: &[u8], repeats: u64) -> Result<(), MemoryError> {
        let bytes = (pattern.len() as u64).saturating_mul(repeats);
        let found = self.find(address, bytes)?;
        if bytes == 0 {
            return Ok(());
        }
        let most = (CHUNK / pattern.len()).max(1).min(usize::try_from(repeats).unwrap_or(CHUNK));
        let chunk = pattern.repeat(most);
        let mut done = 0;
        while done < bytes {
            let now = chunk.len().min(usize::try_from(bytes - done).unwrap_or(chunk.len()));
            found.region.storage.write(address - found.region.base + done, &chunk[..now]);
            done += now as u64;
        }
        Ok(())
    }

    /// Copies inside the device, with what of it was written.
    ///
    /// # Errors
    /// A range does not lie in one live allocation, or the two overlap.
    pub fn copy(&self, from: u64, to: u64, bytes: u64) -> Result<(), MemoryError> {
        let (source, target) = (self.find(from, bytes)?, self.find(to, bytes)?);
        if from.abs_diff(to) < bytes {
            return Err(MemoryError::Overlap { from, to, bytes });
        }
        let (source, target) = (&source.region, &target.region);
        let (start, goal) = (from - source.base, to - target.base);
        let mut chunk = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK))];
        let mut done = 0;
        while done < bytes {
            let now = chunk.len().min(usize::try_from(bytes - done).unwrap_or(chunk.len()));
            source.storage.read(start + done, &mut chunk[..now]);
            target.storage.put(goal + done, &chunk[..now]);
            done += now as u64;
        }
        target.storage.written.copy(goal, &source.storage.written, start, bytes);
        Ok(())
    }

    /// What a launch sees: the allocations alive now.
    pub fn view(&self) -> GlobalView {
        GlobalView::new(lock(&self.state).live.clone())
    }

    fn find(&self, address: u64, bytes: u64) -> Result<Arc<Allocation>, MemoryError> {
        let live = lock(&self.state).live.clone();
        let index = live.index(address).ok_or_else(|| nowhere(&live, address, bytes))?;
        let found = live.allocations[index].clone();
        let (base, size) = (found.region.base, found.region.size());
        if bytes > size - (address - base) {
            return Err(MemoryError::OverEnd { address, bytes, base, size });
        }
        Ok(found)
    }
}

fn nowhere(live: &Live, address: u64, bytes: u64) -> MemoryError {
    MemoryError::NoAllocation { address, bytes, freed: live.freed(address).is_some() }
}
