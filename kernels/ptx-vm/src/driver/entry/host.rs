//! Pinned memory of the host: copies may use it asynchronously.

use std::alloc::{Layout, alloc_zeroed, dealloc};

use super::pointer::Out;
use crate::driver::machine::{Machine, call};
use crate::driver::state::Pinned;
use crate::driver::status::{Answer, Status};

/// Pinned memory is aligned as a page is.
const PAGE: usize = 4096;

/// Gives pinned memory of the driver's own back to the host.
pub(super) fn release(address: usize, bytes: usize) {
    if let Ok(layout) = Layout::from_size_align(bytes, PAGE) {
        // SAFETY: `reserve` made it with this layout, and it has left the table, which gives it up once.
        unsafe { dealloc(address as *mut u8, layout) };
    }
}

fn reserve(machine: &Machine, bytes: usize, flags: u32) -> Answer<usize> {
    let mut state = machine.lock();
    let context = state.current()?;
    state.refuse_unsafe()?;
    let layout = Layout::from_size_align(bytes, PAGE).map_err(|_| Status::INVALID_VALUE)?;
    if bytes == 0 {
        return Err(Status::INVALID_VALUE);
    }
    // SAFETY: the layout has a size.
    let address = unsafe { alloc_zeroed(layout) } as usize;
    if address == 0 {
        return Err(Status::OUT_OF_MEMORY);
    }
    state.pinned.insert(address, Pinned { context, bytes, flags, owned: true });
    Ok(address)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostAlloc(address: Out<usize>, bytes: usize, flags: u32) -> Status {
    call(|machine| {
        // Portable, mapped and write-combined are all there is.
        if address.is_null() || flags & !7 != 0 {
            return Err(Status::INVALID_VALUE);
        }
        address.set(reserve(machine, bytes, flags)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemAllocHost_v2(address: Out<usize>, bytes: usize) -> Status {
    cuMemHostAlloc(address, bytes, 0)
}

/// Everything that was asked for before runs first: it may use the memory.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemFreeHost(address: usize) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        state.current()?;
        state.refuse_unsafe()?;
        if !state.pinned.get(&address).is_some_and(|p| p.owned) {
            return Err(Status::INVALID_VALUE);
        }
        drop(state);
        let earlier = machine.finish_all();
        let gone = machine.lock().pinned.remove(&address).ok_or(Status::INVALID_VALUE)?;
        release(address, gone.bytes);
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostGetFlags(flags: Out<u32>, address: usize) -> Status {
    call(|machine| {
        let state = machine.lock();
        let (_, pinned) = state.pinned_of(address).ok_or(Status::INVALID_VALUE)?;
        flags.set(pinned.flags)
    })
}

/// Kernels of this machine reach device memory only.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostGetDevicePointer_v2(
    _device: Out<u64>,
    _address: usize,
    _flags: u32,
) -> Status {
    Status::NOT_SUPPORTED
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostRegister_v2(address: usize, bytes: usize, flags: u32) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let context = state.current()?;
        if address == 0 || bytes == 0 || address.checked_add(bytes).is_none() {
            return Err(Status::INVALID_VALUE);
        }
        let overlaps = state.pinned.range(..address + bytes).next_back();
        if overlaps.is_some_and(|(&base, p)| base + p.bytes > address) {
            return Err(Status::HOST_MEMORY_ALREADY_REGISTERED);
        }
        state.pinned.insert(address, Pinned { context, bytes, flags, owned: false });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemHostUnregister(address: usize) -> Status {
    call(|machine| {
        let registered = machine.lock().pinned.get(&address).is_some_and(|p| !p.owned);
        if !registered {
            return Err(Status::HOST_MEMORY_NOT_REGISTERED);
        }
        let earlier = machine.finish_all();
        machine.lock().pinned.remove(&address);
        earlier
    })
}
