//! A machine that runs PTX on the CPU.

pub mod error;
pub mod memory;
pub mod syntax;
