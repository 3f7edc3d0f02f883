//! Occupancy: how many blocks of a kernel a multiprocessor of the target would hold.

use super::kernel::{most_threads, registers};
use super::pointer::{In, Out};
use crate::driver::attributes::{
    MOST_BLOCKS, REGISTERS, RESERVED_SHARED, shared_of_multiprocessor,
};
use crate::driver::machine::{Machine, call};
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;
use crate::program::Kernel;
use crate::target::Target;

/// Registers are given to a warp in units of 256.
const REGISTER_UNIT: u32 = 256;

/// Shared memory a block takes, the system's part included, in units of 128 bytes.
fn shared_of_block(kernel: &Kernel, dynamic: usize) -> u64 {
    let own = u64::from(kernel.shared_bytes) + dynamic as u64;
    (own + u64::from(RESERVED_SHARED)).next_multiple_of(128)
}

/// Blocks of `threads` threads that a multiprocessor holds at once.
fn blocks(kernel: &Kernel, target: &Target, threads: u32, dynamic: usize) -> u32 {
    if threads == 0 || threads > most_threads(kernel) {
        return 0;
    }
    let warps = threads.div_ceil(32);
    let by_threads = target.threads_per_multiprocessor / (warps * 32);
    let of_warp = (registers(kernel) * 32).next_multiple_of(REGISTER_UNIT);
    let by_registers = REGISTERS / of_warp / warps;
    let shared = u64::from(shared_of_multiprocessor(target)) / shared_of_block(kernel, dynamic);
    MOST_BLOCKS.min(by_threads).min(by_registers).min(shared.min(64) as u32)
}

fn with_kernel<T>(
    machine: &Machine,
    function: Handle,
    f: impl FnOnce(&Kernel, &Target) -> Answer<T>,
) -> Answer<T> {
    let kernel = machine.lock().functions.get(function)?.kernel.clone();
    f(&kernel, &machine.target)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessor(
    count: Out<i32>,
    function: Handle,
    threads: i32,
    dynamic: usize,
) -> Status {
    cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(count, function, threads, dynamic, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(
    count: Out<i32>,
    function: Handle,
    threads: i32,
    dynamic: usize,
    flags: u32,
) -> Status {
    call(|machine| {
        let threads = u32::try_from(threads).map_err(|_| Status::INVALID_VALUE)?;
        if flags > 1 || threads == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let found = with_kernel(machine, function, |kernel, target| {
            Ok(blocks(kernel, target, threads, dynamic))
        })?;
        count.set(found as i32)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyAvailableDynamicSMemPerBlock(
    bytes: Out<usize>,
    function: Handle,
    count: i32,
    threads: i32,
) -> Status {
    call(|machine| {
        let (count, threads) = match (u64::try_from(count), u32::try_from(threads)) {
            (Ok(count @ 1..), Ok(threads @ 1..)) => (count, threads),
            _ => return Err(Status::INVALID_VALUE),
        };
        let room = with_kernel(machine, function, |kernel, target| {
            if u64::from(blocks(kernel, target, threads, 0)) < count {
                return Err(Status::INVALID_VALUE);
            }
            let share = u64::from(shared_of_multiprocessor(target)) / count / 128 * 128;
            let taken = u64::from(RESERVED_SHARED + kernel.shared_bytes);
            let most = u64::from(target.shared_most.saturating_sub(kernel.shared_bytes));
            Ok(share.saturating_sub(taken).min(most))
        })?;
        bytes.set(room as usize)
    })
}

/// Dynamic shared memory of a block by its threads, as the caller computes it.
type SharedBySize = Option<unsafe extern "C" fn(i32) -> usize>;

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialBlockSize(
    grid: Out<i32>,
    block: Out<i32>,
    function: Handle,
    by_size: SharedBySize,
    dynamic: usize,
    limit: i32,
) -> Status {
    cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, function, by_size, dynamic, limit, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialBlockSizeWithFlags(
    grid: Out<i32>,
    block: Out<i32>,
    function: Handle,
    by_size: SharedBySize,
    dynamic: usize,
    limit: i32,
    flags: u32,
) -> Status {
    call(|machine| {
        if flags > 1 {
            return Err(Status::INVALID_VALUE);
        }
        let (threads, count) = with_kernel(machine, function, |kernel, target| {
            let most = match u32::try_from(limit) {
                Ok(limit @ 1..) => limit.min(most_threads(kernel)),
                _ => most_threads(kernel),
            };
            // The most threads at once; of several sizes the largest.
            let sizes = (1..=most).filter(|threads| threads % 32 == 0 || *threads == most);
            let held = sizes.map(|threads| {
                // SAFETY: the caller promised a function that takes a number of threads.
                let dynamic = by_size.map_or(dynamic, |f| unsafe { f(threads as i32) });
                (threads, blocks(kernel, target, threads, dynamic))
            });
            held.max_by_key(|&(threads, count)| (threads * count, threads)).ok_or(Status::UNKNOWN)
        })?;
        block.set(threads as i32)?;
        grid.set((count * machine.target.multiprocessors) as i32)
    })
}

/// Clusters have one block on this machine.
#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxActiveClusters(
    _count: Out<i32>,
    _function: Handle,
    _config: In<u8>,
) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuOccupancyMaxPotentialClusterSize(
    _size: Out<i32>,
    _function: Handle,
    _config: In<u8>,
) -> Status {
    Status::NOT_SUPPORTED
}
