//! Starting, and what the device is.

use std::ffi::c_char;

use super::pointer::{In, Out};
use crate::driver::attributes::device_attribute;
use crate::driver::machine::{call, guarded, initialise};
use crate::driver::status::{Answer, Status};

/// CUDA 12.8: what the machine takes and how it answers is as there.
const VERSION: i32 = 12_080;

/// The one device there is.
///
/// # Errors
/// `INVALID_DEVICE`.
pub(super) fn only(device: i32) -> Answer {
    if device == 0 { Ok(()) } else { Err(Status::INVALID_DEVICE) }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(flags: u32) -> Status {
    guarded(|| if flags == 0 { initialise() } else { Err(Status::INVALID_VALUE) })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDriverGetVersion(version: Out<i32>) -> Status {
    guarded(|| version.set(VERSION))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetCount(count: Out<i32>) -> Status {
    call(|_| count.set(1))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGet(device: Out<i32>, ordinal: i32) -> Status {
    call(|_| {
        only(ordinal)?;
        device.set(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetName(name: Out<c_char>, length: i32, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        let text = format!("PTX machine ({})", machine.target.name);
        let room = usize::try_from(length).ok().and_then(|n| n.checked_sub(1));
        let room = room.ok_or(Status::INVALID_VALUE)?;
        let mut bytes: Vec<c_char> = text.bytes().take(room).map(|b| b as c_char).collect();
        bytes.push(0);
        name.set_all(&bytes)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid(uuid: Out<[u8; 16]>, device: i32) -> Status {
    call(|_| {
        only(device)?;
        uuid.set(*b"PTX-MACHINE-0000")
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetUuid_v2(uuid: Out<[u8; 16]>, device: i32) -> Status {
    cuDeviceGetUuid(uuid, device)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        bytes.set(machine.memory.capacity().0 as usize)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetAttribute(value: Out<i32>, attribute: i32, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        value.set(device_attribute(&machine.target, attribute).ok_or(Status::INVALID_VALUE)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceComputeCapability(
    major: Out<i32>,
    minor: Out<i32>,
    device: i32,
) -> Status {
    call(|machine| {
        only(device)?;
        major.set(machine.target.major as i32)?;
        minor.set(machine.target.minor as i32)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceCanAccessPeer(can: Out<i32>, device: i32, peer: i32) -> Status {
    call(|_| {
        only(device)?;
        only(peer)?;
        can.set(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetPCIBusId(id: Out<c_char>, length: i32, device: i32) -> Status {
    call(|_| {
        only(device)?;
        let text = b"0000:00:00.0\0".map(|b| b as c_char);
        match usize::try_from(length) {
            Ok(room) if room >= text.len() => id.set_all(&text),
            _ => Err(Status::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorName(error: Status, name: Out<In<c_char>>) -> Status {
    text_of(error.name(), name)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetErrorString(error: Status, text: Out<In<c_char>>) -> Status {
    text_of(error.text(), text)
}

fn text_of(text: Option<&'static std::ffi::CStr>, place: Out<In<c_char>>) -> Status {
    guarded(|| {
        let pointer = text.map_or(std::ptr::null(), |text| text.as_ptr());
        // SAFETY: null or a text of the program, which lives as long as it.
        place.set(unsafe { In::new(pointer) })?;
        text.map(|_| ()).ok_or(Status::INVALID_VALUE)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuProfilerStart() -> Status {
    call(|machine| machine.lock().current().map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuProfilerStop() -> Status {
    cuProfilerStart()
}
