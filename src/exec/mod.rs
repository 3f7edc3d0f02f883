//! Index: machines that run a planned graph.

pub mod cpu;
pub mod cuda;
pub mod device;
mod layout;
pub mod machine;
pub mod session;

pub use device::Device;
pub use machine::Machine;
pub use session::{Session, Slot, Values, ValuesMut};
