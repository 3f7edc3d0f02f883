//! Tests of what a model learns from: files in, batches out.

/// Decoding against PIL, damaged and oversized files, writing, overlays.
mod image;
/// Order, memory, errors and shutdown of the threads that decode ahead.
mod loader;
/// The resampling against PIL, byte for byte.
mod resize;
/// The tokenizer against the public one, damaged vocabularies.
mod wordpiece;
