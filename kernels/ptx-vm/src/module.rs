//! A PTX text brought onto a device: parsed, its variables in the device's memory, its kernels decoded.

use crate::decode::{Placement, decode};
use crate::error::{LoadError, LoadResult};
use crate::memory::Memory;
use crate::parser::parse;
use crate::program::Program;
use crate::shapes::Host;
use crate::syntax::Variable;

/// Module variables in a device's memory.
struct OnDevice<'a> {
    memory: &'a Memory,
    placed: Vec<u64>,
}

impl Placement for OnDevice<'_> {
    fn place(
        &mut self,
        variable: &Variable<'_>,
        content: &[u8],
        read_only: bool,
    ) -> LoadResult<u64> {
        let refused = |error: crate::memory::MemoryError| {
            LoadError::new(variable.line, format!("{}: {error}", variable.name))
        };
        let bytes = variable.bytes().max(1);
        let address = self.memory.allocate(bytes).map_err(refused)?;
        self.placed.push(address);
        // Variables without a value are zero, as the manual says.
        self.memory.fill(address, &[0], bytes).map_err(refused)?;
        self.memory.write(address, content).map_err(refused)?;
        if read_only {
            self.memory.protect(address).map_err(refused)?;
        }
        Ok(address)
    }

    fn reserve(&mut self, bytes: u64, line: u32) -> LoadResult<u64> {
        let address = self.memory.allocate(bytes);
        let address =
            address.map_err(|error| LoadError::new(line, format!("the heap: {error}")))?;
        self.placed.push(address);
        Ok(address)
    }

    fn patch(&mut self, address: u64, content: &[u8]) -> LoadResult<()> {
        self.memory.write(address, content).map_err(|error| LoadError::new(0, error.to_string()))
    }
}

/// Loads a module; its variables stay allocated until [`unload`].
///
/// # Errors
/// The text is no PTX the machine knows, or the device has no room. Nothing stays allocated then.
pub fn load(text: &str, memory: &Memory) -> LoadResult<Program> {
    load_for(text, memory, Host::detect())
}

/// [`load`] with the copies of the instructions' bodies that a kind of processor runs, if it is this one or less.
///
/// # Errors
/// As there.
pub fn load_for(text: &str, memory: &Memory, host: Host) -> LoadResult<Program> {
    let module = parse(text)?;
    let mut placement = OnDevice { memory, placed: Vec::new() };
    decode(&module, text, &mut placement, host).inspect_err(|_| {
        for address in &placement.placed {
            let freed = memory.free(*address);
            debug_assert!(freed.is_ok(), "allocated a moment ago");
        }
    })
}

/// Frees a module's variables.
pub fn unload(program: &Program, memory: &Memory) {
    let heap = program.heap.iter().map(|heap| heap.address);
    for address in program.variables.iter().map(|variable| variable.address).chain(heap) {
        let freed = memory.free(address);
        debug_assert!(freed.is_ok(), "a module's variables are freed once");
    }
}
