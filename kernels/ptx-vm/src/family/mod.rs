//! The instructions, one file a family: each decodes its own and says what it does for the lanes of a warp.

pub mod address;
pub mod atomic;
pub mod barrier;
pub mod control;
pub mod exchange;
pub mod fence;
pub mod moves;
pub mod transfer;

use crate::decode::Site;
use crate::error::LoadResult;

/// Gives an instruction to its family.
///
/// # Errors
/// No family knows it, or the one that does refuses a modifier or operand.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "bra" | "brx" | "ret" | "exit" | "call" | "trap" | "brkpt" | "nanosleep" => {
            control::decode(site)
        }
        "bar" | "barrier" => barrier::decode(site),
        "shfl" | "vote" | "match" | "redux" | "activemask" | "elect" => exchange::decode(site),
        "atom" | "red" => atomic::decode(site),
        "ld" | "ldu" | "st" => transfer::decode(site),
        "cvta" | "isspacep" | "prefetch" | "prefetchu" | "discard" | "applypriority" => {
            address::decode(site)
        }
        "fence" | "membar" => fence::decode(site),
        "mov" => moves::decode(site),
        other => Err(site.error(format!("unknown instruction {other}"))),
    }
}
