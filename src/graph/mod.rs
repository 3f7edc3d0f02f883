//! Index: a model as a list of operations, its backward list, and where each tensor lies.

pub mod display;
pub mod network;
pub mod plan;
pub mod reverse;

pub use network::{Graph, Initial, Node, Origin, TensorId};
pub use plan::{Place, Plan};
pub use reverse::{BackwardStep, Reverse};
