//! Memory pools: there, as callers ask for them; all take from the same memory.

use std::collections::BTreeMap;

use super::device::only;
use super::pointer::{In, InOut, Out};
use crate::driver::machine::{Machine, call};
use crate::driver::state::{Pool, State};
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

fn default_pool(state: &mut State) -> Handle {
    if let Some(pool) = state.default_pool {
        return pool;
    }
    let pool = state.pools.insert(Pool { release_threshold: 0, reuse: BTreeMap::new() });
    state.default_pool = Some(pool);
    pool
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetDefaultMemPool(pool: Out<Handle>, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        pool.set(default_pool(&mut machine.lock()))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceGetMemPool(pool: Out<Handle>, device: i32) -> Status {
    call(|machine| {
        only(device)?;
        let mut state = machine.lock();
        let default = default_pool(&mut state);
        pool.set(state.current_pool.unwrap_or(default))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuDeviceSetMemPool(device: i32, pool: Handle) -> Status {
    call(|machine| {
        only(device)?;
        let mut state = machine.lock();
        state.pools.get(pool)?;
        state.current_pool = Some(pool);
        Ok(())
    })
}

/// What the properties say of places and handle types means nothing here.
#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolCreate(pool: Out<Handle>, properties: In<u8>) -> Status {
    call(|machine| {
        if properties.is_null() || pool.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let made = Pool { release_threshold: 0, reuse: BTreeMap::new() };
        pool.set(machine.lock().pools.insert(made))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolDestroy(pool: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        if state.default_pool == Some(pool) {
            return Err(Status::INVALID_VALUE);
        }
        state.pools.remove(pool)?;
        if state.current_pool == Some(pool) {
            state.current_pool = None;
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolTrimTo(pool: Handle, _keep: usize) -> Status {
    call(|machine| machine.lock().pools.get(pool).map(|_| ()))
}

/// 1 to 3: reuse switches (`i32`); 4: release threshold; 5 to 8: memory reserved and used now and at most (`u64`).
fn get(machine: &Machine, pool: Handle, attribute: u32, value: Out<u8>) -> Answer {
    let state = machine.lock();
    let pool = state.pools.get(pool)?;
    let wide = |number: u64| value.cast::<u64>().set(number);
    match attribute {
        1..=3 => value.cast::<i32>().set(pool.reuse.get(&attribute).copied().unwrap_or(1)),
        4 => wide(pool.release_threshold),
        5 | 7 => wide(state.used),
        6 | 8 => wide(state.used_high),
        _ => Err(Status::INVALID_VALUE),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolGetAttribute(pool: Handle, attribute: u32, value: Out<u8>) -> Status {
    call(|machine| get(machine, pool, attribute, value))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemPoolSetAttribute(pool: Handle, attribute: u32, value: InOut<u8>) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let used = state.used;
        let pool = state.pools.get_mut(pool)?;
        match attribute {
            1..=3 => {
                pool.reuse.insert(attribute, value.cast::<i32>().get()?);
            }
            4 => pool.release_threshold = value.cast::<u64>().get()?,
            6 | 8 if value.cast::<u64>().get()? == 0 => state.used_high = used,
            _ => return Err(Status::INVALID_VALUE),
        }
        Ok(())
    })
}
