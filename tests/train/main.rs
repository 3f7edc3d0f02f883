//! Training and evaluation as a library, one file a subject.

/// Damaged checkpoints: named, put aside, never half taken.
mod checkpoint;
/// Runs that change the device on the way.
mod device;
/// Figures do not depend on batches, and masks are those of the graph's own upsampling.
mod evaluate;
/// Presets say what the model's description says.
mod presets;
/// Which parameters change, and how far.
mod update;

#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tiny.rs"]
mod tiny;
