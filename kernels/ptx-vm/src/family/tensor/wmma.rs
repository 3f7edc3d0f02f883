//! `wmma`: matrices that a warp loads, multiplies and stores as a whole (`nvcuda::wmma`). How lanes hold them is the
//! machine's own business, as the manual says: the elements of A and B lie one after the other as they do in memory,
//! each register of all lanes a stretch of them; those of C and D row by row.

mod matrix;
mod product;
mod transfer;

use crate::decode::{Modifiers, Site};
use crate::error::LoadResult;
use product::multiplication;
use transfer::transfer;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let what = modifiers.take_one(|m| ["load", "store", "mma"].iter().position(|w| *w == m));
    for name in ["sync", "aligned"] {
        if !modifiers.take(name) {
            return Err(site.error(format!("expected .{name}")));
        }
    }
    match what {
        Some(2) => multiplication(site, modifiers),
        Some(what) => transfer(site, modifiers, what == 0),
        None => Err(site.error("expected .load, .store or .mma")),
    }
}

/// `row` is true; takes the next of the layouts.
fn take_layout(modifiers: &mut Modifiers<'_>) -> Option<bool> {
    modifiers.take_one(|m| match m {
        "row" => Some(true),
        "col" => Some(false),
        _ => None,
    })
}
