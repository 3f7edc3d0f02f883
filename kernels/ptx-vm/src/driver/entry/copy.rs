//! Copies between host and device, at once and in stream order.
//!
//! As in CUDA an asynchronous copy from memory of the host that is not pinned has read it when the call returns,
//! and one to such memory has written it.

use std::sync::Arc;

use super::pointer::In;
use crate::driver::machine::{Machine, call, refuse};
use crate::driver::operation::{Copy, End, Operation};
use crate::driver::state::State;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

/// What lies in pinned memory that an asynchronous copy is going to write, until it has: whoever looks too early sees it.
const NOT_YET: u8 = 0xa5;

/// A copy of bytes in a row.
fn row(from: End, to: End, bytes: usize) -> Copy {
    Copy { from, to, from_pitch: bytes, to_pitch: bytes, width: bytes, rows: 1 }
}

/// An address of the unified space: the device's if an allocation is there.
fn either(state: &State, address: u64) -> End {
    match state.allocation_of(address) {
        Some(_) => End::Device(address),
        None => End::Host(address as usize),
    }
}

fn check(state: &State, copy: &Copy) -> Answer {
    for (end, pitch) in [(&copy.from, copy.from_pitch), (&copy.to, copy.to_pitch)] {
        let span = copy.span(pitch);
        match *end {
            End::Device(address) => state.check_range("copy", address, span as u64)?,
            End::Host(0) if span > 0 => return Err(Status::INVALID_VALUE),
            End::Host(address) if address.checked_add(span).is_none() => {
                return Err(Status::INVALID_VALUE);
            }
            End::Host(_) | End::Staged(_) => {}
        }
    }
    Ok(())
}

/// A copy that has ended when the call returns.
fn copy_now(machine: &Machine, copy: impl FnOnce(&State) -> Copy) -> Answer {
    let mut state = machine.lock();
    state.current()?;
    state.refuse_unsafe()?;
    let copy = copy(&state);
    check(&state, &copy)?;
    drop(state);
    machine.submit_and_wait(0, Operation::Copy(copy))
}

/// A copy in stream order.
fn copy_in_order(machine: &Machine, stream: Handle, copy: impl FnOnce(&State) -> Copy) -> Answer {
    let mut state = machine.lock();
    let resolved = state.stream(stream)?;
    let mut copy = copy(&state);
    check(&state, &copy)?;
    let pageable = |end: &End| matches!(*end, End::Host(at) if state.pinned_of(at).is_none());
    let (from_pageable, to_pageable) = (pageable(&copy.from), pageable(&copy.to));
    if (from_pageable || to_pageable) && state.streams.get(resolved)?.capture.is_some() {
        let text = "copy of host memory that is not pinned in a capturing stream: a replay would use what may be gone";
        return Err(refuse(Status::STREAM_CAPTURE_UNSUPPORTED, text));
    }
    if to_pageable {
        drop(state);
        return machine.submit_and_wait(stream, Operation::Copy(copy));
    }
    let captured = state.streams.get(resolved)?.capture.is_some();
    match (&copy.from, &copy.to) {
        (&End::Host(at), _) if from_pageable && machine.delays() => stage(&mut copy, at),
        (_, &End::Host(at)) if machine.delays() && !captured => hide(&state, &copy, at),
        _ => {}
    }
    drop(state);
    machine.submit(stream, Operation::Copy(copy))
}

/// Reads the host's side of a copy now.
fn stage(copy: &mut Copy, at: usize) {
    let mut bytes = vec![0; copy.span(copy.from_pitch)];
    // SAFETY: the caller promised that many bytes there.
    unsafe { std::ptr::copy_nonoverlapping(at as *const u8, bytes.as_mut_ptr(), bytes.len()) };
    copy.from = End::Staged(Arc::new(bytes));
}

/// Spoils what a delayed copy will write, unless other delayed work still needs it.
fn hide(state: &State, copy: &Copy, at: usize) {
    let span = copy.span(copy.to_pitch);
    if state.queue.has_taken() || state.queue.operations().any(|(_, o)| o.touches_host(at, span)) {
        return;
    }
    for line in 0..copy.rows {
        let start = (at + line * copy.to_pitch) as *mut u8;
        // SAFETY: the caller gave this memory to the copy until the stream is synchronised.
        unsafe { std::ptr::write_bytes(start, NOT_YET, copy.width) };
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoD_v2(to: u64, from: usize, bytes: usize) -> Status {
    call(|machine| copy_now(machine, |_| row(End::Host(from), End::Device(to), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoH_v2(to: usize, from: u64, bytes: usize) -> Status {
    call(|machine| copy_now(machine, |_| row(End::Device(from), End::Host(to), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoD_v2(to: u64, from: u64, bytes: usize) -> Status {
    call(|machine| copy_now(machine, |_| row(End::Device(from), End::Device(to), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy(to: u64, from: u64, bytes: usize) -> Status {
    call(|machine| copy_now(machine, |state| row(either(state, from), either(state, to), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyHtoDAsync_v2(
    to: u64,
    from: usize,
    bytes: usize,
    stream: Handle,
) -> Status {
    call(|machine| copy_in_order(machine, stream, |_| row(End::Host(from), End::Device(to), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoHAsync_v2(
    to: usize,
    from: u64,
    bytes: usize,
    stream: Handle,
) -> Status {
    call(|machine| copy_in_order(machine, stream, |_| row(End::Device(from), End::Host(to), bytes)))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyDtoDAsync_v2(to: u64, from: u64, bytes: usize, stream: Handle) -> Status {
    call(|machine| {
        copy_in_order(machine, stream, |_| row(End::Device(from), End::Device(to), bytes))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyAsync(to: u64, from: u64, bytes: usize, stream: Handle) -> Status {
    call(|machine| {
        copy_in_order(machine, stream, |state| row(either(state, from), either(state, to), bytes))
    })
}

/// Between contexts of the one device: all memory is in the same space.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpyPeerAsync(
    to: u64,
    to_context: Handle,
    from: u64,
    from_context: Handle,
    bytes: usize,
    stream: Handle,
) -> Status {
    call(|machine| {
        let known = |context| machine.lock().contexts.contains(context);
        match known(to_context) && known(from_context) {
            true => {
                copy_in_order(machine, stream, |_| row(End::Device(from), End::Device(to), bytes))
            }
            false => Err(Status::INVALID_CONTEXT),
        }
    })
}

/// `CUDA_MEMCPY2D`.
#[derive(Debug, Clone, std::marker::Copy)]
#[repr(C)]
pub struct Rectangle {
    pub from_x: usize,
    pub from_y: usize,
    /// 1 host, 2 device, 3 array, 4 unified.
    pub from_kind: u32,
    pub from_host: usize,
    pub from_device: u64,
    pub from_array: usize,
    pub from_pitch: usize,
    pub to_x: usize,
    pub to_y: usize,
    pub to_kind: u32,
    pub to_host: usize,
    pub to_device: u64,
    pub to_array: usize,
    pub to_pitch: usize,
    pub width: usize,
    pub height: usize,
}

impl Rectangle {
    /// The copy it describes.
    fn copy(&self, state: &State) -> Answer<Copy> {
        let side = |kind, host: usize, device: u64, x: usize, y: usize, pitch: usize| {
            let pitch = if pitch == 0 { self.width } else { pitch };
            let end_of_row = x.checked_add(self.width).ok_or(Status::INVALID_VALUE)?;
            if end_of_row > pitch && self.height > 1 {
                return Err(Status::INVALID_VALUE);
            }
            let offset = y.checked_mul(pitch).and_then(|n| n.checked_add(x));
            let offset = offset.ok_or(Status::INVALID_VALUE)?;
            let device_at = device.checked_add(offset as u64).ok_or(Status::INVALID_VALUE)?;
            let end = match kind {
                1 => End::Host(host.checked_add(offset).ok_or(Status::INVALID_VALUE)?),
                2 => End::Device(device_at),
                4 => either(state, device_at),
                3 => return Err(Status::NOT_SUPPORTED),
                _ => return Err(Status::INVALID_VALUE),
            };
            Ok((end, pitch))
        };
        let (from, from_pitch) = side(
            self.from_kind,
            self.from_host,
            self.from_device,
            self.from_x,
            self.from_y,
            self.from_pitch,
        )?;
        let (to, to_pitch) =
            side(self.to_kind, self.to_host, self.to_device, self.to_x, self.to_y, self.to_pitch)?;
        Ok(Copy { from, to, from_pitch, to_pitch, width: self.width, rows: self.height })
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2D_v2(rectangle: In<Rectangle>) -> Status {
    call(|machine| {
        let copy = rectangle.get()?.copy(&machine.lock())?;
        copy_now(machine, |_| copy)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2DUnaligned_v2(rectangle: In<Rectangle>) -> Status {
    cuMemcpy2D_v2(rectangle)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemcpy2DAsync_v2(rectangle: In<Rectangle>, stream: Handle) -> Status {
    call(|machine| {
        let copy = rectangle.get()?.copy(&machine.lock())?;
        copy_in_order(machine, stream, |_| copy)
    })
}
