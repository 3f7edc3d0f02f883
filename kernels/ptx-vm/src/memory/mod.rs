//! The memory of the machine: what a warp can address, checked byte by byte.
//!
//! Addresses are numbers of the machine's own, never pointers of the host. A warp reads and writes
//! through [`GlobalView`], [`Shared`], [`Local`] and [`Constant`]; the driver allocates and copies
//! through [`Memory`]. Every access is checked for bounds, alignment, freed memory and bytes nobody
//! wrote; the race detector ([`Order`]) and the traffic counts ([`Counts`]) can be switched on.

/// Who accesses, and how strongly.
mod access;
/// The simulated second-level cache.
mod cache;
/// What a thread knows of the others' progress.
mod clock;
/// Read-only bytes: the parameters of a launch.
mod constant;
/// What accesses cost: sectors, wavefronts, traffic behind the cache.
mod counts;
/// The driver's side of global memory.
mod device;
/// The widths an access can have.
mod element;
/// What a launch sees of global memory.
mod global;
/// Which allocations are alive.
mod live;
/// Memory of one thread.
mod local;
/// Who has seen the strong writes of a word.
mod observers;
/// Which accesses of a block's threads are ordered.
mod order;
/// An access as the race detector sees it.
mod party;
/// The race detector over global memory.
mod races;
/// Where the lanes of a warp point, as a whole.
mod reach;
/// Why an access is refused, in words.
mod refusal;
/// Bytes at one base address, accessed lane by lane.
mod region;
/// Who touched a word last.
mod shadow;
/// Memory of one block.
mod shared;
/// Bytes, and which of them were written.
mod storage;
/// Accesses on their way into the race detector's record.
mod watch;
/// Where the spaces lie in generic addressing.
pub mod window;
/// One bit a byte: was it written?
mod written;

pub use access::{Access, Checks, Scope, Strength};
pub use cache::Cache;
pub use constant::Constant;
pub use counts::{Counts, Traffic};
pub use device::{Memory, MemoryError};
pub use element::Element;
pub use global::GlobalView;
pub use local::Local;
pub use order::{Order, Point, Snapshot};
pub use shared::Shared;

/// Threads of a warp.
pub const LANES: usize = 32;

/// The host's fence for a fence of the kernel: what this host thread wrote before is seen by whoever
/// sees what it writes after. [`Order::fence`] tells the race detector the same.
pub fn fence() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}
