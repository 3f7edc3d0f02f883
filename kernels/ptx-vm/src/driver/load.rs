//! From a PTX text to a program whose variables lie in the device's memory.

use crate::decode::{Placement, decode};
use crate::error::{LoadError, LoadResult};
use crate::memory::Memory;
use crate::parser::parse;
use crate::program::Program;
use crate::syntax::Variable;
use crate::target::Target;

/// Puts module variables into a device's memory.
struct Placed<'a> {
    memory: &'a Memory,
    addresses: Vec<u64>,
}

impl Placement for Placed<'_> {
    fn place(
        &mut self,
        variable: &Variable<'_>,
        content: &[u8],
        read_only: bool,
    ) -> LoadResult<u64> {
        let refused = |error: crate::memory::MemoryError| {
            LoadError::new(variable.line, format!("{}: {error}", variable.name))
        };
        let bytes = variable.bytes();
        let address = self.memory.allocate(bytes.max(1)).map_err(refused)?;
        self.addresses.push(address);
        // Variables without a value are zero.
        self.memory.fill(address, &[0], bytes).map_err(refused)?;
        self.memory.write(address, content).map_err(refused)?;
        if read_only {
            self.memory.protect(address).map_err(refused)?;
        }
        Ok(address)
    }

    fn patch(&mut self, address: u64, content: &[u8]) {
        let patched = self.memory.write(address, content);
        debug_assert!(patched.is_ok(), "a variable placed here before");
    }
}

/// Loads a text; its variables take memory of the device until they are freed one by one.
///
/// # Errors
/// What the text has that the machine or the target does not know; nothing is left in memory then.
pub fn load(text: &str, memory: &Memory, target: &Target) -> LoadResult<Program> {
    let module = parse(text)?;
    if let Some(wanted) = module.target.first() {
        check_target(wanted, target)?;
    }
    let mut placed = Placed { memory, addresses: Vec::new() };
    let decoded = decode(&module, text, &mut placed);
    if decoded.is_err() {
        // Just allocated, so freeing cannot fail.
        placed.addresses.iter().for_each(|&address| drop(memory.free(address)));
    }
    decoded
}

/// PTX for an older target runs on a newer one; with an `a` behind it only on that one.
fn check_target(wanted: &str, target: &Target) -> LoadResult<()> {
    let number = wanted.strip_prefix("sm_").unwrap_or(wanted);
    let digits = number.trim_end_matches(|c: char| !c.is_ascii_digit());
    let own = target.major * 10 + target.minor;
    let fits = match (digits.parse::<u32>(), number.len() > digits.len()) {
        (Ok(needed), true) => needed == own,
        (Ok(needed), false) => needed <= own,
        (Err(_), _) => false,
    };
    match fits {
        true => Ok(()),
        false => Err(LoadError::new(0, format!("the text is for {wanted}, the device is {}", target.name))),
    }
}
