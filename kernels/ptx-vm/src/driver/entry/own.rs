//! What the machine has beyond a driver: reports, settings, counts. For C:
//!
//! ```c
//! // The last report of the calling thread, else of the process: at most `room` bytes of it, ended by a zero if
//! // there is room. Returns the bytes it has; 0: no report.
//! size_t ptxvm_last_report(char *text, size_t room);
//! // Changes settings: "races=1 adversarial=7 counts=1". The names are those of PTX_VM_* in lower case.
//! CUresult ptxvm_options(const char *text);
//! // Counts of the launches since the last reset, as JSON; needs counts=1. Sizes as for the report. Besides, the written
//! // sectors that the cache still holds, and how many calls gave a stream work.
//! size_t ptxvm_counts(char *json, size_t room);
//! CUresult ptxvm_reset_counts(void);
//! ```

use super::pointer::{Name, Out};
use crate::driver::counts::to_json;
use crate::driver::machine::{call, last_report, machine};
use crate::driver::status::Status;

/// Writes as much of a text as there is room for; returns its length.
fn give(text: &str, place: Out<u8>, room: usize) -> usize {
    let mut bytes = text.as_bytes()[..text.len().min(room)].to_vec();
    if bytes.len() < room {
        bytes.push(0);
    }
    match place.set_all(&bytes) {
        Ok(()) | Err(_) => text.len(),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn ptxvm_last_report(text: Out<u8>, room: usize) -> usize {
    give(&last_report(), text, room)
}

#[unsafe(no_mangle)]
pub extern "C" fn ptxvm_options(text: Name) -> Status {
    call(|machine| machine.change_settings(text.text()?))
}

#[unsafe(no_mangle)]
pub extern "C" fn ptxvm_counts(json: Out<u8>, room: usize) -> usize {
    let Ok(machine) = machine() else { return give("", json, room) };
    let left = machine.settings().options.cache.map_or(0, |cache| cache.dirty());
    let calls = machine.lock().calls;
    let text = to_json(&machine.counted(), left, calls);
    give(&text, json, room)
}

#[unsafe(no_mangle)]
pub extern "C" fn ptxvm_reset_counts() -> Status {
    call(|machine| {
        machine.counted().clear();
        machine.lock().calls = 0;
        Ok(())
    })
}
