//! Graphs of several operations: their plan, their backward list, the session that runs them.

#[path = "../support/mod.rs"]
mod support;

/// The same graphs on a CUDA device.
mod device;
/// Where tensors lie: everything is still there when it is read.
mod plan;
/// Which gradients are written, and which write sets.
mod reverse;
/// Gradients of whole graphs, accumulation, threads, errors.
mod session;
/// Small graphs drawn at random, and a machine that runs them.
mod small;
