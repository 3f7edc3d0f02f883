//! `mma.sync` of doubles: m8n8k4 since sm_80, m16n8k4, m16n8k8 and m16n8k16 since sm_90.
//!
//! PTX ISA, "Matrix Fragments for mma.m8n8k4 with .f64" and its kin: lane `4 g + t` has of A in register `i` row
//! `8 (i mod R) + g`, column `4 (i div R) + t`, where `R` is 1 or 2 for 8 or 16 rows; of B row `4 i + t`, column `g`; of C
//! row `8 (i div 2) + g`, column `2 t + i mod 2`.

use super::aligned::{results, sources, whole_warp};
use crate::decode::{Encoded, Site};
use crate::error::{Checked, LoadResult};
use crate::program::{Family, Instruction};
use crate::registers::{ALL, LANES, Slot};
use crate::syntax::Type;
use crate::turn::{Flow, Turn};

/// Rows and depth of a shape.
pub fn shape(name: &str) -> Option<(usize, usize)> {
    Some(match name {
        "m8n8k4" => (8, 4),
        "m16n8k4" => (16, 4),
        "m16n8k8" => (16, 8),
        "m16n8k16" => (16, 16),
        _ => return None,
    })
}

/// `mma.sync.aligned.shape.row.col.f64.f64.f64.f64 d, a, b, c`: the list is D, A, B, C; `detail` has rows and depth.
pub fn decode(site: &mut Site<'_, '_, '_>, (rows, depth): (usize, usize)) -> LoadResult<()> {
    site.expect_operands(4)?;
    let (a, b, c) = (rows * depth / LANES, depth * 8 / LANES, rows * 8 / LANES);
    let mut list = results(site, 0, c, Type::F64)?;
    list.extend(sources(site, 1, a, Type::F64)?);
    list.extend(sources(site, 2, b, Type::F64)?);
    list.extend(sources(site, 3, c, Type::F64)?);
    let (detail, number) = ((rows | depth << 8) as u32, (2 * rows * 8 * depth) as i64);
    site.emit(Encoded { list, detail, number, ..Encoded::new(run, Family::Tensor, &[]) })
}

fn run(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = whole_warp(turn, mask)? {
        return Ok(flow);
    }
    let (rows, depth) = (instruction.detail as usize & 0xff, instruction.detail as usize >> 8);
    let (high, list) = (rows / 8, turn.launch.list(instruction.list));
    let (counted, rest) = list.split_at(high * 2);
    let (a, rest) = rest.split_at(rows * depth / LANES);
    let (b, c) = rest.split_at(depth / 4);
    let read = |slots: &[Slot]| {
        slots.iter().map(|&slot| turn.registers.get::<f64>(slot)).collect::<Vec<_>>()
    };
    let (a, b, mut c) = (read(a), read(b), read(c));
    for (i, sums) in c.iter_mut().enumerate() {
        for (lane, sum) in sums.iter_mut().enumerate() {
            let (row, column) = (i / 2 * 8 + lane / 4, lane % 4 * 2 + i % 2);
            for k in 0..depth {
                let left = a[row / 8 + k / 4 * high][row % 8 * 4 + k % 4];
                let right = b[k / 4][column * 4 + k % 4];
                *sum = left.mul_add(right, *sum);
            }
        }
    }
    for (&slot, sums) in counted.iter().zip(&c) {
        turn.registers.set(slot, ALL, sums);
    }
    turn.block.profile.tensor(turn.pc, instruction.number as u64);
    Ok(Flow::Next)
}
