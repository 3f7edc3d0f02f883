//! A machine that runs PTX on the CPU.

pub mod error;
mod lexer;
mod literal;
pub mod parser;
pub mod syntax;
