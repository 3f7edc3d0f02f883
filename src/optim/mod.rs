//! Index: how gradients change parameters.

pub mod adamw;
pub mod cuda;
pub mod grad_norm;
pub mod schedule;
