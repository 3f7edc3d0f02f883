//! 8 x 8 matrices of 16-bit elements between shared memory and registers: `ldmatrix stmatrix movmatrix`.
//!
//! Lane `4 r + c` of a warp holds elements `2 c` and `2 c + 1` of row `r`, so a register of all lanes is a matrix, row
//! after row.

use super::aligned::{results, sources, whole_warp};
use super::pointer::{Pointer, shared_addresses};
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::Family;
use crate::registers::{ALL, LANES};
use crate::syntax::{Space, Type};
use crate::turn::{Flow, How};

/// `detail` beside the address.
const TRANSPOSED: u32 = 1 << super::pointer::BITS;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    for name in ["sync", "aligned", "m8n8"] {
        if !modifiers.take(name) {
            return Err(site.error(format!("expected .{name}")));
        }
    }
    if site.opcode() == "movmatrix" {
        let _ = modifiers.take("trans") && modifiers.take("b16");
        modifiers.finish()?;
        site.expect_operands(2)?;
        let (to, from) = (site.result(0, Type::B32)?, site.source(1, Type::B32)?);
        return site.emit(Encoded::new(transpose(site.host()), Family::Tensor, &[to, from]));
    }
    let count = modifiers.take_one(|m| match m {
        "x1" => Some(1),
        "x2" => Some(2),
        "x4" => Some(4),
        _ => None,
    });
    let Some(count) = count else { return Err(site.error("expected .x1, .x2 or .x4")) };
    let transposed = modifiers.take("trans");
    let space = modifiers.take_one(|m| m.starts_with("shared").then_some(Space::Shared));
    if !modifiers.take("b16") {
        return Err(site.error("expected .b16"));
    }
    modifiers.finish()?;
    site.expect_operands(2)?;
    let load = site.opcode() == "ldmatrix";
    let pointer = Pointer::decode(site, usize::from(load), space.unwrap_or(Space::Generic))?;
    let (run, list) = match load {
        true => (load_matrices(site.host()), results(site, 0, count, Type::B32)?),
        false => (store_matrices(site.host()), sources(site, 1, count, Type::B32)?),
    };
    let detail = pointer.flags | if transposed { TRANSPOSED } else { 0 };
    let encoded = Encoded::new(run, Family::Tensor, &pointer.slots);
    site.emit(Encoded { detail, list, ..encoded })
}

/// Lanes whose addresses count for `count` matrices: one a row.
#[inline(always)]
fn row_lanes(count: usize) -> u32 {
    u32::MAX >> (LANES - 8 * count)
}

/// Rows become columns.
#[inline(always)]
pub fn transposed(matrix: &[u32; LANES]) -> [u32; LANES] {
    let element =
        |row: usize, column: usize| matrix[4 * row + column / 2] >> (column % 2 * 16) & 0xffff;
    std::array::from_fn(|lane| {
        let (row, column) = (lane / 4, lane % 4 * 2);
        element(column, row) | element(column + 1, row) << 16
    })
}

crate::run! {
    fn load_matrices(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let count = instruction.list.1 as usize;
        let lanes = row_lanes(count);
        let addresses = shared_addresses(turn, instruction, lanes, 0, 0)?;
        let rows = turn.load::<u64, 2>(Space::Shared, lanes, &addresses, How::default())?;
        for matrix in 0..count {
            let mut words = [0; LANES];
            for row in 0..8 {
                for half in 0..2 {
                    let bits = rows[half][8 * matrix + row];
                    words[4 * row + 2 * half] = bits as u32;
                    words[4 * row + 2 * half + 1] = (bits >> 32) as u32;
                }
            }
            if instruction.detail & TRANSPOSED != 0 {
                words = transposed(&words);
            }
            let slot = turn.launch.list(instruction.list)[matrix];
            turn.registers.row_mut(slot).0 = words;
        }
        Ok(Flow::Next)
    }
}

crate::run! {
    fn store_matrices(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let count = instruction.list.1 as usize;
        let lanes = row_lanes(count);
        let addresses = shared_addresses(turn, instruction, lanes, 0, 0)?;
        let mut rows = [[0u64; LANES]; 2];
        for matrix in 0..count {
            let slot = turn.launch.list(instruction.list)[matrix];
            let mut words = turn.registers.row(slot).0;
            if instruction.detail & TRANSPOSED != 0 {
                words = transposed(&words);
            }
            for row in 0..8 {
                for (half, rows) in rows.iter_mut().enumerate() {
                    let at = 4 * row + 2 * half;
                    rows[8 * matrix + row] = u64::from(words[at]) | u64::from(words[at + 1]) << 32;
                }
            }
        }
        turn.store::<u64, 2>(Space::Shared, lanes, &addresses, &rows, How::default())?;
        Ok(Flow::Next)
    }
}

crate::run! {
    fn transpose(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let words = transposed(&turn.registers.row(instruction.operands[1]).0);
        turn.registers.set::<u32>(instruction.operands[0], ALL, &words);
        Ok(Flow::Next)
    }
}
