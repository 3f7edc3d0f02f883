//! Device memory: allocating and freeing, at once and in stream order.

use super::pointer::{In, Out};
use crate::driver::machine::{Machine, call};
use crate::driver::operation::Operation;
use crate::driver::order::refuse_in_capture;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

/// What rows of a pitched allocation are multiples of.
const PITCH: usize = 512;

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAlloc_v2(address: Out<u64>, bytes: usize) -> Status {
    call(|machine| {
        if address.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let context = {
            let mut state = machine.lock();
            state.refuse_unsafe()?;
            state.current()?
        };
        address.set(machine.allocate(context, bytes as u64)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocPitch_v2(
    address: Out<u64>,
    pitch: Out<usize>,
    width: usize,
    rows: usize,
    element: u32,
) -> Status {
    let pitched = width.checked_next_multiple_of(PITCH);
    match (element, pitched.and_then(|p| Some((p, p.checked_mul(rows)?)))) {
        (4 | 8 | 16, Some((pitched, bytes))) if !pitch.is_null() => {
            match cuMemAlloc_v2(address, bytes) {
                Status::SUCCESS => pitch.set(pitched).into(),
                status => status,
            }
        }
        _ => Status::INVALID_VALUE,
    }
}

/// Everything that was asked for before runs first, as a real driver has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(address: u64) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        state.current()?;
        state.refuse_unsafe()?;
        if address == 0 {
            return Ok(());
        }
        drop(state);
        let earlier = machine.finish_all();
        let mut state = machine.lock();
        state.check_free(address)?;
        state.forget_allocation(address);
        drop(state);
        machine.memory.free(address).map_err(|_| Status::INVALID_VALUE)?;
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocAsync(address: Out<u64>, bytes: usize, stream: Handle) -> Status {
    call(|machine| {
        if address.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let context = {
            let mut state = machine.lock();
            let context = state.current()?;
            let stream = state.stream(stream)?;
            refuse_in_capture(&state, stream, "cuMemAllocAsync")?;
            context
        };
        match bytes {
            0 => address.set(0),
            _ => address.set(machine.allocate(context, bytes as u64)?),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocFromPoolAsync(
    address: Out<u64>,
    bytes: usize,
    pool: Handle,
    stream: Handle,
) -> Status {
    let known = call(|machine| machine.lock().pools.get(pool).map(|_| ()));
    if known == Status::SUCCESS { cuMemAllocAsync(address, bytes, stream) } else { known }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeAsync(address: u64, stream: Handle) -> Status {
    call(|machine| free_in_order(machine, address, stream))
}

fn free_in_order(machine: &Machine, address: u64, stream: Handle) -> Answer {
    let mut state = machine.lock();
    let stream = state.stream(stream)?;
    refuse_in_capture(&state, stream, "cuMemFreeAsync")?;
    if address == 0 {
        return Ok(());
    }
    state.check_free(address)?;
    let placed = state.place(stream, Operation::Free(address))?;
    if let Some(allocation) = state.allocations.get_mut(&address) {
        allocation.going = true;
    }
    drop(state);
    placed.map_or(Ok(()), |id| machine.begin(&[id]))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> Status {
    call(|machine| {
        machine.lock().current()?;
        let (capacity, left) = machine.memory.capacity();
        free.set(left as usize)?;
        total.set(capacity as usize)
    })
}

/// The machine has no managed memory: what the host writes there could not be checked.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocManaged(_address: Out<u64>, _bytes: usize, _flags: u32) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamAttachMemAsync(
    _stream: Handle,
    _address: u64,
    _bytes: usize,
    _flags: u32,
) -> Status {
    Status::NOT_SUPPORTED
}

/// `CUmemLocation`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Location {
    pub kind: u32,
    pub id: i32,
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAdvise_v2(
    _address: u64,
    _bytes: usize,
    _advice: u32,
    _at: Location,
) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPrefetchAsync_v2(
    _address: u64,
    _bytes: usize,
    _to: Location,
    _flags: u32,
    _stream: Handle,
) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuImportExternalMemory(_memory: Out<Handle>, _from: In<u8>) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDestroyExternalMemory(_memory: Handle) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuExternalMemoryGetMappedBuffer(
    _address: Out<u64>,
    _memory: Handle,
    _buffer: In<u8>,
) -> Status {
    Status::NOT_SUPPORTED
}
