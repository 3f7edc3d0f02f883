//! The assembled model: against an independent implementation, and against differences.

#[path = "../support/mod.rs"]
mod support;

/// Bad configurations are refused in words.
mod config;
/// Whole training steps on a CUDA device.
mod device;
/// Logits, losses and all gradients of an independent implementation.
mod golden;
/// Every parameter's gradient against differences in f64, one by one and jointly.
mod gradients;
/// An inference graph has no node for what only training needs.
mod inference;
/// The mask at a picture's own size against the operation that upsamples in a graph.
mod prediction;
