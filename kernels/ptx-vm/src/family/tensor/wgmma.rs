//! `wgmma`: products of a warpgroup with matrices in shared memory. Each of its four warps makes sixteen rows.
//!
//! A product is one operation of all four: a wait is over when each of them has begun it, and what it read of shared
//! memory may be changed after the wait of any (CUTLASS lets one thread of the four warps give a stage back).
//!
//! Sums are made when the instruction starts. In the adversarial mode the registers hold NaN until `wait_group`, which
//! also finds operands and registers that were touched too early.

/// Operands out of memory and registers, multiplied.
mod product;

use super::aligned::{results, sources, whole_warp};
use super::copy_async::constant;
use super::fragments::{Bf16, Bit, E4m3, E5m2, F16, Signed, Tf32, Unsigned};
use crate::asynchronous::{IN_FLIGHT, Piece, Product};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Point;
use crate::program::{Family, Instruction, Run};
use crate::registers::LANES;
use crate::shapes::Host;
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};
use product::{run_half, run_integer, run_single};

/// Operands: descriptors of A and B, the predicate that keeps D.
const LEFT: usize = 0;
const RIGHT: usize = 1;
const KEEP: usize = 2;
/// `detail`.
const REGISTERS: u32 = 1;
const ACROSS_LEFT: u32 = 2;
const ACROSS_RIGHT: u32 = 4;
const NEGATED_LEFT: u32 = 8;
const NEGATED_RIGHT: u32 = 16;
const NEGATED_KEEP: u32 = 32;
const SATURATED: u32 = 64;
/// Registers of A.
const A: usize = 4;

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let name = modifiers.rest().first().copied().unwrap_or_default();
    modifiers.take(name);
    if !modifiers.take("sync") || !modifiers.take("aligned") {
        return Err(site.error("expected .sync.aligned"));
    }
    match name {
        "mma_async" => multiply_add(site, modifiers),
        "fence" | "commit_group" => {
            modifiers.finish()?;
            site.expect_operands(0)?;
            let run: Run = if name == "fence" { run_fence } else { run_commit };
            site.emit(Encoded::new(run, Family::Tensor, &[]))
        }
        "wait_group" => {
            modifiers.finish()?;
            site.expect_operands(1)?;
            let number = i64::from(constant(site, 0)?);
            site.emit(Encoded { number, ..Encoded::new(run_wait, Family::Tensor, &[]) })
        }
        other => Err(site.error(format!("wgmma.{other} is not known"))),
    }
}

/// `wgmma.mma_async.sync.aligned.m64nNkK.d.a.b {d}, a, b-desc, scale-d, scale-a, scale-b{, trans-a}{, trans-b}`.
fn multiply_add(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    let saturated = modifiers.take("satfinite");
    let counted = modifiers.take("and") && modifiers.take("popc");
    let rest = modifiers.rest().to_vec();
    let [shape, d, a, b] = rest[..] else {
        return Err(site.error("expected a shape and the types of D, A and B"));
    };
    let run = match pick(site.host(), [d, a, b], counted) {
        Some(run) if !saturated || matches!(a, "s8" | "u8") => run,
        _ => return Err(site.error(format!("wgmma of {a} and {b} into {d} is not known"))),
    };
    let depth = depth(a);
    let columns = columns(shape, depth, d == "s32");
    let Some(columns) = columns else {
        let steps = if d == "s32" { "8, above m64n32 of 16" } else { "8" };
        return Err(
            site.error(format!("shape {shape} of {a}; m64n8 to m64n256 in steps of {steps}"))
        );
    };
    let kind = if d == "f32" { Type::F32 } else { Type::B32 };
    let count = if d == "f16" { columns / 4 } else { columns / 2 };
    let mut list = results(site, 0, count, kind)?;
    let in_registers = matches!(site.operand(1)?, Operand::Vector(_));
    let right = site.source(2, Type::B64)?;
    let left = match in_registers {
        true => {
            list.extend(sources(site, 1, A, Type::B32)?);
            right
        }
        false => site.source(1, Type::B64)?,
    };
    let (keep, negated) = site.predicate_source(3)?;
    let detail = flags(site, in_registers, d != "s32", matches!(a, "bf16" | "f16"))?
        | if negated { NEGATED_KEEP } else { 0 }
        | if saturated { SATURATED } else { 0 };
    let number = 2 * 16 * (columns * depth) as i64;
    site.uses_async_proxy();
    let encoded = Encoded::new(run, Family::Tensor, &[left, right, keep]);
    site.emit(Encoded { list, number, detail, ..encoded })
}

fn pick(host: Host, types: [&str; 3], counted: bool) -> Option<Run> {
    Some(match types {
        ["s32", "b1", "b1"] if counted => run_integer::<Bit, Bit, 256>(host),
        _ if counted => return None,
        ["f32", "bf16", "bf16"] => run_single::<Bf16, Bf16, 16>(host),
        ["f32", "f16", "f16"] => run_single::<F16, F16, 16>(host),
        ["f32", "tf32", "tf32"] => run_single::<Tf32, Tf32, 8>(host),
        ["f16", "f16", "f16"] => run_half::<F16, F16, 16>(host),
        ["f32", "e4m3", "e4m3"] => run_single::<E4m3, E4m3, 32>(host),
        ["f32", "e4m3", "e5m2"] => run_single::<E4m3, E5m2, 32>(host),
        ["f32", "e5m2", "e4m3"] => run_single::<E5m2, E4m3, 32>(host),
        ["f32", "e5m2", "e5m2"] => run_single::<E5m2, E5m2, 32>(host),
        ["f16", "e4m3", "e4m3"] => run_half::<E4m3, E4m3, 32>(host),
        ["f16", "e4m3", "e5m2"] => run_half::<E4m3, E5m2, 32>(host),
        ["f16", "e5m2", "e4m3"] => run_half::<E5m2, E4m3, 32>(host),
        ["f16", "e5m2", "e5m2"] => run_half::<E5m2, E5m2, 32>(host),
        ["s32", "s8", "s8"] => run_integer::<Signed, Signed, 32>(host),
        ["s32", "s8", "u8"] => run_integer::<Signed, Unsigned, 32>(host),
        ["s32", "u8", "s8"] => run_integer::<Unsigned, Signed, 32>(host),
        ["s32", "u8", "u8"] => run_integer::<Unsigned, Unsigned, 32>(host),
        _ => return None,
    })
}

/// 32 bytes of a row of A, in elements.
fn depth(a: &str) -> usize {
    match a {
        "tf32" => 8,
        "bf16" | "f16" => 16,
        "b1" => 256,
        _ => 32,
    }
}

/// The N of `m64nNkK`.
fn columns(shape: &str, depth: usize, integers: bool) -> Option<usize> {
    let columns: usize =
        shape.strip_prefix("m64n")?.strip_suffix(&format!("k{depth}"))?.parse().ok()?;
    let step = if integers && columns > 32 { 16 } else { 8 };
    (columns.is_multiple_of(step) && (8..=256).contains(&columns)).then_some(columns)
}

/// The integers at the end: signs (not of integers), and for 16-bit elements which side of a matrix in memory is its row.
fn flags(
    site: &mut Site<'_, '_, '_>,
    in_registers: bool,
    signed: bool,
    transposable: bool,
) -> LoadResult<u32> {
    let sides = match (transposable, in_registers) {
        (true, false) => &[ACROSS_LEFT, ACROSS_RIGHT][..],
        (true, true) => &[ACROSS_RIGHT],
        (false, _) => &[],
    };
    let signs = if signed { &[(4, NEGATED_LEFT), (5, NEGATED_RIGHT)][..] } else { &[] };
    site.expect_operands(4 + signs.len() + sides.len())?;
    let mut flags = if in_registers { REGISTERS } else { 0 };
    for &(index, flag) in signs {
        flags |= match site.operand(index)? {
            Operand::Immediate(crate::syntax::Immediate::Integer(value)) if *value as i64 == 1 => 0,
            Operand::Immediate(crate::syntax::Immediate::Integer(value))
                if *value as i64 == -1 || *value == u64::from(u32::MAX) =>
            {
                flag
            }
            other => return Err(site.error(format!("expected 1 or -1, found {other:?}"))),
        };
    }
    for (index, flag) in sides.iter().enumerate() {
        flags |= match constant(site, 6 + index)? {
            0 => 0,
            1 => *flag,
            other => return Err(site.error(format!("expected 0 or 1, found {other}"))),
        };
    }
    Ok(flags)
}

fn broken<T>(message: impl Into<String>) -> Checked<T> {
    Err(Box::new(Violation::by(Rule::Asynchronous, 0, message)))
}

fn run_fence(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = whole_warp(turn, mask)? {
        return Ok(flow);
    }
    let products = &mut turn.block.asynchronous.products[turn.warp as usize];
    products.any_fence = true;
    if turn.launch.options.adversarial.is_some() {
        products.fenced = Some(turn.registers.rows().to_vec());
    }
    Ok(Flow::Next)
}

/// Where the race detector hands on what a warpgroup's products have read.
fn group_point(warp: u32) -> Point {
    Point::Other(u64::from(warp / 4))
}

fn run_commit(turn: &mut Turn<'_>, _: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = whole_warp(turn, mask)? {
        return Ok(flow);
    }
    turn.block.asynchronous.products[turn.warp as usize].commit();
    if let Some(order) = &mut turn.block.order {
        // The products read in the name of lane 0.
        order.release(group_point(turn.warp), turn.warp, 1);
    }
    *turn.polled = 0;
    Ok(Flow::Next)
}

fn run_wait(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = whole_warp(turn, mask)? {
        return Ok(flow);
    }
    let warp = turn.warp as usize;
    let products = &turn.block.asynchronous.products;
    let needed = products[warp].committed().saturating_sub(instruction.number as u32);
    let group = warp / 4 * 4..(warp / 4 * 4 + 4).min(products.len());
    if products[group.clone()].iter().any(|other| other.committed() < needed) {
        return Ok(Flow::PollAgain);
    }
    if let Some(order) = &mut turn.block.order {
        order.acquire(group_point(turn.warp), turn.warp, mask);
    }
    for other in group {
        for (pc, pieces) in turn.block.asynchronous.products[other].take_pieces(needed) {
            finish_reading(turn, pc, &pieces)?;
        }
    }
    let due = turn.block.asynchronous.products[warp].arrive(instruction.number as u32);
    for (index, product) in due.iter().enumerate() {
        arrive(turn, product, &due[index + 1..])?;
    }
    Ok(Flow::Next)
}

fn changed(turn: &Turn<'_>, pc: u32, what: &str) -> Checked<()> {
    let line = turn.line(pc);
    broken(format!("{what} of the wgmma at PTX line {line} was changed before it was waited for"))
}

/// A product has read its operands: nobody may have changed them.
fn finish_reading(turn: &mut Turn<'_>, pc: u32, pieces: &[Piece]) -> Checked<()> {
    let access = crate::memory::Access::new(1, turn.first_thread(), turn.block.linear as u32);
    for (address, before) in pieces {
        let mut now = [0; 16];
        let read = turn.block.shared.copy_out(&access, 0, *address, &mut now);
        if read.is_err() || now != *before {
            return changed(turn, pc, &format!("shared memory at 0x{address:x}, an operand"));
        }
    }
    Ok(())
}

/// A product arrives, before those that are due `later`: no register it read or writes may have been touched.
fn arrive(turn: &mut Turn<'_>, product: &Product, later: &[Product]) -> Checked<()> {
    if product.registers.iter().any(|(slot, words)| turn.registers.row(*slot).0 != *words) {
        return changed(turn, product.pc, "a register of A");
    }
    for (slot, words) in &product.sums {
        if turn.registers.row(*slot).0 != [IN_FLIGHT; LANES] {
            return changed(turn, product.pc, "a register of D");
        }
        // A later product may be on its way into the same register.
        let products = &mut turn.block.asynchronous.products[turn.warp as usize];
        let mut sums = later.iter().flat_map(|product| &product.sums);
        if products.sum(*slot).is_some() || sums.any(|(other, _)| other == slot) {
            continue;
        }
        turn.registers.row_mut(*slot).0 = *words;
        if let Some(fenced) = &mut products.fenced {
            fenced[slot.0 as usize].0 = *words;
        }
    }
    Ok(())
}
