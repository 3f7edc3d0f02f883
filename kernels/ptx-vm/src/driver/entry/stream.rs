//! Streams, and what they do besides copies and launches.

use std::ffi::c_void;

use super::context::PRIORITIES;
use super::pointer::{In, InOut, Out};
use crate::driver::capture::Mode;
use crate::driver::machine::{call, machine};
use crate::driver::operation::{HostCall, Operation};
use crate::driver::order::exchange_thread_mode;
use crate::driver::state::Stream;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreate(stream: Out<Handle>, flags: u32) -> Status {
    cuStreamCreateWithPriority(stream, flags, 0)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamCreateWithPriority(
    stream: Out<Handle>,
    flags: u32,
    priority: i32,
) -> Status {
    call(|machine| {
        if stream.is_null() || flags > 1 {
            return Err(Status::INVALID_VALUE);
        }
        let mut state = machine.lock();
        let context = state.current()?;
        let priority = priority.clamp(PRIORITIES.1, PRIORITIES.0);
        let frontier = Vec::new();
        stream.set(state.streams.insert(Stream {
            context,
            flags,
            priority,
            frontier,
            capture: None,
        }))
    })
}

/// What the stream was given still runs; a capture it takes part in is lost.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamDestroy_v2(stream: Handle) -> Status {
    call(|machine| {
        if stream <= 2 {
            return Err(Status::INVALID_HANDLE);
        }
        let mut state = machine.lock();
        let resolved = state.stream(stream)?;
        if state.is_legacy(resolved) {
            return Err(Status::INVALID_HANDLE);
        }
        if let Some(capture) = state.streams.remove(resolved)?.capture {
            state.abandon(capture, resolved);
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamSynchronize(stream: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        let work = state.waited_for(stream)?;
        drop(state);
        machine.finish(&work)
    })
}

/// Where work is delayed each question moves it on by one piece, so that who polls gets there.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamQuery(stream: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        let work = state.waited_for(stream)?;
        drop(state);
        machine.poll(&work)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamWaitEvent(stream: Handle, event: Handle, flags: u32) -> Status {
    call(|machine| {
        match flags {
            0 => {}
            1 => return Err(Status::NOT_SUPPORTED),
            _ => return Err(Status::INVALID_VALUE),
        }
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        state.wait(stream, event)
    })
}

/// Looks at a stream's properties.
fn inspect<T>(stream: Handle, place: Out<T>, get: impl FnOnce(Handle, &Stream) -> T) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        place.set(get(stream, state.streams.get(stream)?))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetFlags(stream: Handle, flags: Out<u32>) -> Status {
    inspect(stream, flags, |_, s| s.flags)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetPriority(stream: Handle, priority: Out<i32>) -> Status {
    inspect(stream, priority, |_, s| s.priority)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCtx(stream: Handle, context: Out<Handle>) -> Status {
    inspect(stream, context, |_, s| s.context)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetId(stream: Handle, id: Out<u64>) -> Status {
    inspect(stream, id, |handle, _| handle as u64)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchHostFunc(
    stream: Handle,
    function: Option<unsafe extern "C" fn(*mut c_void)>,
    data: usize,
) -> Status {
    call(|machine| {
        let function = function.ok_or(Status::INVALID_VALUE)?;
        machine.submit(stream, Operation::Call(HostCall { function, data }))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamBeginCapture_v2(stream: Handle, mode: u32) -> Status {
    call(|machine| {
        let mode = Mode::from_code(mode)?;
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        state.begin_capture(stream, mode)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamEndCapture(stream: Handle, graph: Out<Handle>) -> Status {
    call(|machine| {
        graph.set(0)?;
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        graph.set(state.end_capture(stream)?)
    })
}

/// Status (0 none, 1 active, 2 invalidated) and number of a stream's capture.
fn capture_of(stream: Handle, status: Out<u32>, id: Out<u64>) -> Answer {
    machine().and_then(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        let capture = state.streams.get(stream)?.capture;
        let invalid = |id| state.captures.get(&id).is_none_or(|c| c.invalid);
        status.set(capture.map_or(0, |id| if invalid(id) { 2 } else { 1 }))?;
        id.set_if_wanted(capture.unwrap_or(0));
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamIsCapturing(stream: Handle, status: Out<u32>) -> Status {
    // SAFETY: null is a place for a result that nobody wants.
    call(|_| capture_of(stream, status, unsafe { Out::new(std::ptr::null_mut()) }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo(stream: Handle, status: Out<u32>, id: Out<u64>) -> Status {
    call(|_| capture_of(stream, status, id))
}

/// The graph being recorded and its nodes have no handles before the capture ends: 0, and none.
#[unsafe(no_mangle)]
pub extern "C" fn cuStreamGetCaptureInfo_v2(
    stream: Handle,
    status: Out<u32>,
    id: Out<u64>,
    graph: Out<Handle>,
    nodes: Out<In<Handle>>,
    count: Out<usize>,
) -> Status {
    call(|_| {
        capture_of(stream, status, id)?;
        graph.set_if_wanted(0);
        // SAFETY: null, as there are none.
        nodes.set_if_wanted(unsafe { In::new(std::ptr::null()) });
        count.set_if_wanted(0);
        Ok(())
    })
}

/// Reads the wanted mode from where it writes the one before.
#[unsafe(no_mangle)]
pub extern "C" fn cuThreadExchangeStreamCaptureMode(mode: InOut<u32>) -> Status {
    call(|_| {
        let wanted = Mode::from_code(mode.get()?)?;
        mode.set(exchange_thread_mode(wanted).code())
    })
}
