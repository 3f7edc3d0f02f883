//! Index: what a training program does around the model.

pub mod probe;
