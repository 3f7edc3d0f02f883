//! Matrices and asynchronous copies: what sm_80 and sm_90 add to a warp's own loads and arithmetic.

/// What instructions of a whole warp have in common.
pub mod aligned;
/// Bulk copies.
pub mod bulk;
/// Which of the asynchronous copies a `cp` is.
mod copy;
/// `cp.async`.
mod copy_async;
/// Matrices in shared memory, as `wgmma` finds them.
mod descriptor;
/// How lanes hold matrices, and products of them.
pub mod fragments;
/// `ldmatrix stmatrix movmatrix`.
mod matrix;
/// `mbarrier`.
mod mbarrier;
/// `mma.sync`.
mod mma;
/// `mma.sync` of doubles.
mod mma_double;
mod mma_integer;
/// Addresses of instructions that have several.
pub mod pointer;
/// Reductions of bulk copies.
mod reduction;
/// `setmaxnreg griddepcontrol`.
mod setting;
/// Boxes of tensors.
mod tile;
/// `wgmma`.
mod wgmma;
/// `wmma`.
mod wmma;

use crate::decode::Site;
use crate::error::LoadResult;

/// Gives an instruction to the file that knows it.
///
/// # Errors
/// A modifier, shape or operand is refused.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "ldmatrix" | "stmatrix" | "movmatrix" => matrix::decode(site),
        "mma" => mma::decode(site),
        "wmma" => wmma::decode(site),
        "wgmma" => wgmma::decode(site),
        "setmaxnreg" | "griddepcontrol" => setting::decode(site),
        "mbarrier" => mbarrier::decode(site),
        "cp" => copy::decode(site),
        other => Err(site.error(format!("unknown instruction {other}"))),
    }
}
