//! Fills of device memory with 8, 16 and 32-bit values, rows of them too, at once and in stream order.

use crate::driver::machine::{Machine, call};
use crate::driver::operation::{Fill, Operation};
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

/// `rows` rows of `width` elements from `address`, `pitch` bytes apart.
fn fill(
    address: u64,
    pitch: usize,
    (value, element): (u32, u32),
    width: usize,
    rows: usize,
) -> Fill {
    let (pitch, width, rows) = (pitch as u64, width as u64, rows as u64);
    Fill { address, pitch, value, element, width, rows }
}

fn check(machine: &Machine, fill: &Fill) -> Answer {
    let state = machine.lock();
    state.current()?;
    let row = fill.width.checked_mul(u64::from(fill.element)).ok_or(Status::INVALID_VALUE)?;
    let aligned = fill.address.is_multiple_of(u64::from(fill.element));
    if !aligned || fill.rows > 1 && row > fill.pitch {
        return Err(Status::INVALID_VALUE);
    }
    state.check_range("fill", fill.address, fill.span())
}

fn fill_now(machine: &Machine, fill: Fill) -> Answer {
    machine.lock().refuse_unsafe()?;
    check(machine, &fill)?;
    machine.submit_and_wait(0, Operation::Fill(fill))
}

fn fill_in_order(machine: &Machine, fill: Fill, stream: Handle) -> Answer {
    check(machine, &fill)?;
    machine.submit(stream, Operation::Fill(fill))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(address: u64, value: u8, count: usize) -> Status {
    call(|machine| fill_now(machine, fill(address, 0, (u32::from(value), 1), count, 1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8Async(address: u64, value: u8, count: usize, stream: Handle) -> Status {
    call(|machine| {
        fill_in_order(machine, fill(address, 0, (u32::from(value), 1), count, 1), stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D8_v2(
    address: u64,
    pitch: usize,
    value: u8,
    width: usize,
    rows: usize,
) -> Status {
    call(|machine| fill_now(machine, fill(address, pitch, (u32::from(value), 1), width, rows)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D8Async(
    address: u64,
    pitch: usize,
    value: u8,
    width: usize,
    rows: usize,
    stream: Handle,
) -> Status {
    call(|machine| {
        fill_in_order(machine, fill(address, pitch, (u32::from(value), 1), width, rows), stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16_v2(address: u64, value: u16, count: usize) -> Status {
    call(|machine| fill_now(machine, fill(address, 0, (u32::from(value), 2), count, 1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD16Async(
    address: u64,
    value: u16,
    count: usize,
    stream: Handle,
) -> Status {
    call(|machine| {
        fill_in_order(machine, fill(address, 0, (u32::from(value), 2), count, 1), stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D16_v2(
    address: u64,
    pitch: usize,
    value: u16,
    width: usize,
    rows: usize,
) -> Status {
    call(|machine| fill_now(machine, fill(address, pitch, (u32::from(value), 2), width, rows)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D16Async(
    address: u64,
    pitch: usize,
    value: u16,
    width: usize,
    rows: usize,
    stream: Handle,
) -> Status {
    call(|machine| {
        fill_in_order(machine, fill(address, pitch, (u32::from(value), 2), width, rows), stream)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(address: u64, value: u32, count: usize) -> Status {
    call(|machine| fill_now(machine, fill(address, 0, (value, 4), count, 1)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32Async(
    address: u64,
    value: u32,
    count: usize,
    stream: Handle,
) -> Status {
    call(|machine| fill_in_order(machine, fill(address, 0, (value, 4), count, 1), stream))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D32_v2(
    address: u64,
    pitch: usize,
    value: u32,
    width: usize,
    rows: usize,
) -> Status {
    call(|machine| fill_now(machine, fill(address, pitch, (value, 4), width, rows)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD2D32Async(
    address: u64,
    pitch: usize,
    value: u32,
    width: usize,
    rows: usize,
    stream: Handle,
) -> Status {
    call(|machine| fill_in_order(machine, fill(address, pitch, (value, 4), width, rows), stream))
}
