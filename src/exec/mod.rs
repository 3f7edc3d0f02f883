//! Index: machines that run a planned graph.

mod arena;
pub mod cpu;
pub mod device;
mod layout;
pub mod session;

pub use device::Device;
pub use session::{Session, Slot, Values, ValuesMut};
