//! Device memory as the driver hands it out: who has how much, and which ranges a call may name.

use crate::driver::machine::{Machine, refuse};
use crate::driver::state::{Allocation, State};
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;
use crate::memory::MemoryError;

impl Machine {
    /// New device memory for a context.
    ///
    /// # Errors
    /// `OUT_OF_MEMORY`; `INVALID_VALUE` for no bytes.
    pub fn allocate(&self, context: Handle, bytes: u64) -> Answer<u64> {
        let address = self.memory.allocate(bytes).map_err(|error| match error {
            MemoryError::Empty => Status::INVALID_VALUE,
            _ => refuse(Status::OUT_OF_MEMORY, &format!("allocation: {error}")),
        })?;
        let mut state = self.lock();
        state.allocations.insert(address, Allocation { context, bytes, going: false });
        state.used += bytes;
        state.used_high = state.used_high.max(state.used);
        Ok(address)
    }
}

impl State {
    /// Checks that a range of device memory lies in one live allocation.
    ///
    /// # Errors
    /// `INVALID_VALUE`, with a report.
    pub fn check_range(&self, what: &str, address: u64, bytes: u64) -> Answer {
        if bytes == 0 {
            return Ok(());
        }
        let Some((base, allocation)) = self.allocation_of(address) else {
            let text = format!("{what}: {bytes} bytes at 0x{address:x}, where no allocation is");
            return Err(refuse(Status::INVALID_VALUE, &text));
        };
        let size = allocation.bytes;
        if bytes > size - (address - base) {
            let text = format!(
                "{what}: {bytes} bytes at 0x{address:x} run over the end of the {size} at 0x{base:x}"
            );
            return Err(refuse(Status::INVALID_VALUE, &text));
        }
        if allocation.going {
            let text = format!("{what}: 0x{address:x} was given to cuMemFreeAsync before");
            return Err(refuse(Status::INVALID_VALUE, &text));
        }
        Ok(())
    }

    /// Checks that an allocation can be freed.
    ///
    /// # Errors
    /// `INVALID_VALUE`, with a report: not the start of a live one.
    pub fn check_free(&self, address: u64) -> Answer {
        match self.allocations.get(&address) {
            Some(allocation) if !allocation.going => Ok(()),
            _ => {
                let text =
                    format!("free of 0x{address:x}, which is not the start of a live allocation");
                Err(refuse(Status::INVALID_VALUE, &text))
            }
        }
    }
}
