//! Matrices and asynchronous copies, instruction by instruction, on texts written for them.

/// A device to run texts on.
mod bench;
/// `cp.async` and its groups.
mod copies;
/// The project's own kernels.
mod linear;
/// `ldmatrix`, `stmatrix`, `movmatrix`.
mod matrix;
/// `mma.sync`.
mod mma;
