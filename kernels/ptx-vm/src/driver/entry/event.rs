//! Events: moments in streams.

use super::pointer::Out;
use crate::driver::machine::{Machine, call};
use crate::driver::state::{Event, Recorded, State};
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

/// `CU_EVENT_DISABLE_TIMING` and `CU_EVENT_INTERPROCESS`.
const NO_TIMING: u32 = 2;
const BETWEEN_PROCESSES: u32 = 4;

#[unsafe(no_mangle)]
pub extern "C" fn cuEventCreate(event: Out<Handle>, flags: u32) -> Status {
    call(|machine| {
        if event.is_null() || flags > 7 {
            return Err(Status::INVALID_VALUE);
        }
        if flags & BETWEEN_PROCESSES != 0 {
            return Err(Status::NOT_SUPPORTED);
        }
        let mut state = machine.lock();
        let context = state.current()?;
        event.set(state.events.insert(Event { context, flags, recorded: Recorded::Never }))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventDestroy_v2(event: Handle) -> Status {
    call(|machine| machine.lock().events.remove(event).map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecord(event: Handle, stream: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        let placed = state.record(event, stream)?;
        drop(state);
        placed.map_or(Ok(()), |id| machine.begin(&[id]))
    })
}

/// Flag 1 makes a graph's node of the record, which this machine has not.
#[unsafe(no_mangle)]
pub extern "C" fn cuEventRecordWithFlags(event: Handle, stream: Handle, flags: u32) -> Status {
    match flags {
        0 => cuEventRecord(event, stream),
        1 => Status::NOT_SUPPORTED,
        _ => Status::INVALID_VALUE,
    }
}

/// The work an event stands for, for a call that looks at it from outside.
fn work_of(state: &mut State, event: Handle) -> Answer<Option<u64>> {
    let recorded = state.events.get(event)?.recorded.clone();
    if let Recorded::Captured { capture, .. } = recorded {
        state.invalidate(capture);
        return Err(Status::CAPTURED_EVENT);
    }
    state.refuse_unsafe()?;
    match recorded {
        Recorded::Work { id, .. } => Ok(Some(id)),
        _ => Ok(None),
    }
}

fn look(machine: &Machine, event: Handle) -> Answer<Vec<u64>> {
    let mut state = machine.lock();
    state.current()?;
    Ok(work_of(&mut state, event)?.into_iter().collect())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventQuery(event: Handle) -> Status {
    call(|machine| machine.poll(&look(machine, event)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventSynchronize(event: Handle) -> Status {
    call(|machine| machine.finish(&look(machine, event)?))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime(milliseconds: Out<f32>, start: Handle, end: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let mut moment = |event: Handle| {
            if state.events.get(event)?.flags & NO_TIMING != 0 {
                return Err(Status::INVALID_HANDLE);
            }
            work_of(&mut state, event)?.ok_or(Status::INVALID_HANDLE)?;
            match &state.events.get(event)?.recorded {
                Recorded::Work { moment, .. } => moment.get().copied().ok_or(Status::NOT_READY),
                _ => Err(Status::INVALID_HANDLE),
            }
        };
        let (start, end) = (moment(start)?, moment(end)?);
        let time = match end.checked_duration_since(start) {
            Some(time) => time.as_secs_f64(),
            None => -start.duration_since(end).as_secs_f64(),
        };
        milliseconds.set((time * 1e3) as f32)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuEventElapsedTime_v2(
    milliseconds: Out<f32>,
    start: Handle,
    end: Handle,
) -> Status {
    cuEventElapsedTime(milliseconds, start, end)
}
