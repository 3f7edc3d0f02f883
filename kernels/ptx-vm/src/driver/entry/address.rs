//! What an address is: the device's or the host's, and of which allocation.

use super::pointer::{In, Out};
use crate::driver::machine::call;
use crate::driver::state::State;
use crate::driver::status::{Answer, Status};

/// `CU_MEMORYTYPE_HOST` and `CU_MEMORYTYPE_DEVICE`.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// Where an address lies: context, kind, first address and size.
fn find(state: &State, address: u64) -> Option<(usize, u32, u64, u64)> {
    if let Some((base, allocation)) = state.allocation_of(address) {
        return Some((allocation.context, DEVICE, base, allocation.bytes));
    }
    let (base, pinned) = state.pinned_of(address as usize)?;
    Some((pinned.context, HOST, base as u64, pinned.bytes as u64))
}

/// Writes an attribute by its number in `CUpointer_attribute`.
fn attribute(state: &State, value: Out<u8>, attribute: u32, address: u64) -> Answer {
    let (context, kind, base, bytes) = find(state, address).ok_or(Status::INVALID_VALUE)?;
    let wide = |number: u64| value.cast::<u64>().set(number);
    let word = |number: u32| value.cast::<u32>().set(number);
    match (attribute, kind) {
        (1, _) => wide(context as u64),
        (2, _) => word(kind),
        (3, DEVICE) | (4, HOST) => wide(address),
        // Allocations are numbered by where they begin: no address is used twice.
        (7, _) => wide(base),
        (8 | 10, _) => word(0),
        (9, _) => word(0),
        (11, _) => wide(base),
        (12, _) => wide(bytes),
        (13, _) => word(1),
        _ => Err(Status::INVALID_VALUE),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuPointerGetAttribute(value: Out<u8>, number: u32, address: u64) -> Status {
    call(|machine| attribute(&machine.lock(), value, number, address))
}

/// Attributes that an address has not are 0, as CUDA has it.
#[unsafe(no_mangle)]
pub extern "C" fn cuPointerGetAttributes(
    count: u32,
    numbers: In<u32>,
    values: In<Out<u8>>,
    address: u64,
) -> Status {
    call(|machine| {
        let state = machine.lock();
        for index in 0..count as usize {
            let (number, value) = (numbers.at(index)?, values.at(index)?);
            if value.is_null() {
                return Err(Status::INVALID_VALUE);
            }
            if attribute(&state, value, number, address).is_err() {
                match number {
                    2 | 8 | 9 | 10 | 13 => value.cast::<u32>().set(0)?,
                    1 | 3 | 4 | 7 | 11 | 12 => value.cast::<u64>().set(0)?,
                    _ => return Err(Status::INVALID_VALUE),
                }
            }
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemGetAddressRange_v2(
    base: Out<u64>,
    bytes: Out<usize>,
    address: u64,
) -> Status {
    call(|machine| {
        let state = machine.lock();
        state.current()?;
        let (start, allocation) = state.allocation_of(address).ok_or(Status::NOT_FOUND)?;
        base.set_if_wanted(start);
        bytes.set_if_wanted(allocation.bytes as usize);
        Ok(())
    })
}
