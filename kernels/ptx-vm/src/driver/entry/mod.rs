//! The exported functions, under NVIDIA's names and with NVIDIA's types of arguments.
//!
//! Handles and device addresses are numbers of a pointer's size; enumerations are `u32`.

#![allow(non_snake_case, reason = "the names are NVIDIA's")]
#![allow(clippy::too_many_arguments, reason = "so are the arguments")]

mod address;
mod context;
mod copy;
mod device;
mod event;
mod fill;
mod graph;
mod host;
mod kernel;
mod memory;
mod module;
mod occupancy;
mod own;
mod pointer;
mod pool;
mod procedure;
mod stream;
mod tensor;

pub use address::*;
pub use context::*;
pub use copy::*;
pub use device::*;
pub use event::*;
pub use fill::*;
pub use graph::*;
pub use host::*;
pub use kernel::*;
pub use memory::*;
pub use module::*;
pub use occupancy::*;
pub use own::*;
pub use pointer::{In, InOut, Name, Out};
pub use pool::*;
pub use procedure::*;
pub use stream::*;
pub use tensor::*;
