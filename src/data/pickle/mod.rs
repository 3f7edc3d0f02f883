//! Index: Python's pickle format, the part that holds data; nothing of a file is ever executed.

mod machine;
mod text;
mod tree;

pub use tree::{Pickle, PickleError, Value};
