//! Contexts: the primary one that everybody shares, and others.

use super::device::only;
use super::pointer::{In, Out};
use crate::driver::machine::{Machine, call};
use crate::driver::state::with_stack;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

/// Lowest and highest priority of a stream.
pub(super) const PRIORITIES: (i32, i32) = (0, -5);

/// Ends a context's work and gives back all it has; the context itself stays.
fn empty(machine: &Machine, context: Handle) -> Answer {
    let work = machine.lock().queue.of_context(context);
    // What fails now has been reported, and the context goes anyway.
    let _ = machine.finish(&work);
    let mut state = machine.lock();
    let (allocations, pinned) = state.empty_context(context);
    drop(state);
    for address in allocations {
        machine.memory.free(address).map_err(|_| Status::UNKNOWN)?;
    }
    pinned.into_iter().for_each(|(address, bytes)| super::host::release(address, bytes));
    Ok(())
}

fn destroy(machine: &Machine, context: Handle) -> Answer {
    empty(machine, context)?;
    let mut state = machine.lock();
    let legacy = state.contexts.remove(context)?.legacy;
    state.streams.remove(legacy).map(|_| ())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRetain(context: Out<Handle>, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        if context.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let mut state = machine.lock();
        let (handle, held) = match state.primary {
            Some((handle, held)) => (handle, held + 1),
            None => {
                let flags = state.primary_flags;
                (state.new_context(flags), 1)
            }
        };
        state.primary = Some((handle, held));
        context.set(handle)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxRelease_v2(device: i32) -> Status {
    call(|machine| {
        only(device)?;
        let mut state = machine.lock();
        match state.primary {
            None => Err(Status::INVALID_CONTEXT),
            Some((handle, 1)) => {
                state.primary = None;
                drop(state);
                destroy(machine, handle)
            }
            Some((handle, held)) => {
                state.primary = Some((handle, held - 1));
                Ok(())
            }
        }
    })
}

/// Gives back all the primary context has and clears a fault that stayed; its handle and its holders stay.
#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxReset_v2(device: i32) -> Status {
    call(|machine| {
        only(device)?;
        let primary = machine.lock().primary;
        primary.map_or(Ok(()), |(handle, _)| empty(machine, handle))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxSetFlags_v2(device: i32, flags: u32) -> Status {
    call(|machine| {
        only(device)?;
        machine.lock().primary_flags = flags;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDevicePrimaryCtxGetState(
    device: i32,
    flags: Out<u32>,
    active: Out<i32>,
) -> Status {
    call(|machine| {
        only(device)?;
        let state = machine.lock();
        flags.set(state.primary_flags)?;
        active.set(i32::from(state.primary.is_some()))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v2(context: Out<Handle>, flags: u32, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        if context.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let handle = machine.lock().new_context(flags);
        with_stack(|stack| stack.push(handle));
        context.set(handle)
    })
}

/// `_parameters`: affinities, which this machine has not.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v3(
    context: Out<Handle>,
    _parameters: In<u8>,
    count: i32,
    flags: u32,
    device: i32,
) -> Status {
    match count {
        0 => cuCtxCreate_v2(context, flags, device),
        _ => Status::NOT_SUPPORTED,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxCreate_v4(
    context: Out<Handle>,
    parameters: In<u8>,
    flags: u32,
    device: i32,
) -> Status {
    match parameters.is_null() {
        true => cuCtxCreate_v2(context, flags, device),
        false => Status::NOT_SUPPORTED,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(context: Handle) -> Status {
    call(|machine| {
        let state = machine.lock();
        let primary = state.primary.is_some_and(|(handle, _)| handle == context);
        if primary || !state.contexts.contains(context) {
            return Err(Status::INVALID_CONTEXT);
        }
        drop(state);
        with_stack(|stack| {
            if stack.last() == Some(&context) {
                stack.pop();
            }
        });
        destroy(machine, context)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCurrent(context: Handle) -> Status {
    call(|machine| {
        if context != 0 && !machine.lock().contexts.contains(context) {
            return Err(Status::INVALID_CONTEXT);
        }
        with_stack(|stack| {
            stack.pop();
            if context != 0 {
                stack.push(context);
            }
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCurrent(context: Out<Handle>) -> Status {
    call(|_| context.set(with_stack(|stack| stack.last().copied().unwrap_or(0))))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPushCurrent_v2(context: Handle) -> Status {
    call(|machine| {
        if !machine.lock().contexts.contains(context) {
            return Err(Status::INVALID_CONTEXT);
        }
        with_stack(|stack| stack.push(context));
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxPopCurrent_v2(context: Out<Handle>) -> Status {
    call(|_| {
        let popped = with_stack(Vec::pop).ok_or(Status::INVALID_CONTEXT)?;
        context.set_if_wanted(popped);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetDevice(device: Out<i32>) -> Status {
    call(|machine| {
        machine.lock().current()?;
        device.set(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetFlags(flags: Out<u32>) -> Status {
    call(|machine| {
        let state = machine.lock();
        flags.set(state.contexts.get(state.current()?)?.flags)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetFlags(flags: u32) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let current = state.current()?;
        state.contexts.get_mut(current)?.flags = flags;
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetApiVersion(context: Handle, version: Out<u32>) -> Status {
    call(|machine| {
        if context != 0 && !machine.lock().contexts.contains(context) {
            return Err(Status::INVALID_CONTEXT);
        }
        version.set(3020)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let current = state.current()?;
        let work = state.context_waited_for(current)?;
        drop(state);
        machine.finish(&work)
    })
}

/// Limits are remembered and change nothing: the machine's own are in `ptxvm_options`.
#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetLimit(limit: u32, value: usize) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let current = state.current()?;
        match limit {
            0..=6 => state.contexts.get_mut(current)?.limits.insert(limit, value),
            _ => return Err(Status::UNSUPPORTED_LIMIT),
        };
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetLimit(value: Out<usize>, limit: u32) -> Status {
    call(|machine| {
        let state = machine.lock();
        let limits = &state.contexts.get(state.current()?)?.limits;
        let default = match limit {
            0 => 1024,
            1 => 8 << 20,
            2 => 8 << 20,
            3 => 2,
            4 => 2048,
            5 => 128,
            6 => 0,
            _ => return Err(Status::UNSUPPORTED_LIMIT),
        };
        value.set(limits.get(&limit).copied().unwrap_or(default))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetCacheConfig(config: Out<u32>) -> Status {
    call(|machine| {
        let state = machine.lock();
        config.set(state.contexts.get(state.current()?)?.cache_config)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSetCacheConfig(config: u32) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let current = state.current()?;
        match config {
            0..=3 => state.contexts.get_mut(current)?.cache_config = config,
            _ => return Err(Status::INVALID_VALUE),
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxGetStreamPriorityRange(least: Out<i32>, greatest: Out<i32>) -> Status {
    call(|machine| {
        machine.lock().current()?;
        least.set_if_wanted(PRIORITIES.0);
        greatest.set_if_wanted(PRIORITIES.1);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxEnablePeerAccess(_peer: Handle, _flags: u32) -> Status {
    Status::PEER_ACCESS_UNSUPPORTED
}
