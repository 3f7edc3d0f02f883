//! Whole kernels on the machine, written as PTX texts.

/// A device to run texts on.
mod bench;
/// Branches, loops, calls: lanes part and meet.
mod divergence;
