//! Index: machines that run a planned graph.

pub mod cpu;
pub mod device;
pub mod session;

pub use device::Device;
pub use session::{Session, Slot, Values, ValuesMut};
