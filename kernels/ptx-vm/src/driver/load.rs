//! From a PTX text to a program that the device at hand can run.

use crate::error::{LoadError, LoadResult};
use crate::memory::Memory;
use crate::module;
use crate::program::Program;
use crate::target::Target;

/// Loads a text as [`module::load`] does, if the device is one it is for.
///
/// # Errors
/// As [`module::load`]; another target.
pub fn load_for(target: &Target, text: &str, memory: &Memory) -> LoadResult<Program> {
    let program = module::load(text, memory)?;
    if suits(&program.target, target) {
        return Ok(program);
    }
    module::unload(&program, memory);
    let message = format!("the text is for {}, the device is {}", program.target, target.name);
    Err(LoadError::new(0, message))
}

/// PTX for an older target runs on a newer one; with an `a` behind it only on that one.
fn suits(wanted: &str, target: &Target) -> bool {
    let number = wanted.strip_prefix("sm_").unwrap_or(wanted);
    let digits = number.trim_end_matches(|c: char| !c.is_ascii_digit());
    let own = target.major * 10 + target.minor;
    match (digits.parse::<u32>(), number.len() > digits.len()) {
        (Ok(needed), true) => needed == own,
        (Ok(needed), false) => needed <= own,
        (Err(_), _) => false,
    }
}
