//! Matrices and asynchronous copies, instruction by instruction, on texts written for them.

/// A device to run texts on.
mod bench;
/// Bulk copies of bytes in a row.
mod bulk;
/// Processor time.
#[path = "../speed/clock.rs"]
mod clock;
/// `cp.async` and its groups.
mod copies;
/// The project's own kernels.
mod linear;
/// `ldmatrix`, `stmatrix`, `movmatrix`.
mod matrix;
/// `mbarrier`.
mod mbarrier;
/// `mma.sync`.
mod mma;
/// `mma.sync` of doubles.
mod mma_double;
/// A whole product on Hopper.
mod pipeline;
/// Boxes of tensors.
mod tiles;
/// `wgmma`.
mod wgmma;
/// `wmma`.
mod wmma;
