//! Tests of the programs themselves: the real binaries, run as a user runs them.

/// A model folder small enough to be made in every test, and pictures.
mod fixture;
/// `crformer-infer`: answers, failures of every kind, the command line.
mod infer;
#[path = "../support/tiny.rs"]
mod tiny;
/// `crformer-train`: runs that are stopped, killed, refused and brought to their end.
mod train;
