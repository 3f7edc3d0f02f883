//! Index: layers, each a handful of parameters and the operations on them.

pub mod attention;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod scope;

pub use linear::Residual;
pub use scope::Scope;
