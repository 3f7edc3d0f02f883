//! Index: machines that run a planned graph.

mod arena;
pub mod cpu;
mod layout;
pub mod session;

pub use session::{Session, Slot, Values, ValuesMut};
