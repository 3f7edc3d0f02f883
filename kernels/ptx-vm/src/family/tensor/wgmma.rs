//! `wgmma`: products of a warpgroup with matrices in shared memory. Each of its four warps makes sixteen rows.
//!
//! A product is one operation of all four: a wait is over when each of them has begun it, and what it read of shared
//! memory may be changed after the wait of any (CUTLASS lets one thread of the four warps give a stage back).
//!
//! Sums are made when the instruction starts. In the adversarial mode the registers hold NaN until `wait_group`, which
//! also finds operands and registers that were touched too early.

use super::aligned::{results, rows, sources, whole_warp};
use super::copy_async::constant;
use super::descriptor::Descriptor;
use super::fragments::{
    Bf16, F16, Format, Tf32, half_registers, half_sums, left, multiply, registers, sums,
};
use crate::asynchronous::{IN_FLIGHT, Piece, Product};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Point;
use crate::program::{Family, Instruction, Run};
use crate::registers::{LANES, Slot};
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};

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
fn multiply_add(site: &mut Site<'_, '_, '_>, modifiers: Modifiers<'_>) -> LoadResult<()> {
    let rest = modifiers.rest().to_vec();
    let [shape, d, a, b] = rest[..] else {
        return Err(site.error("expected a shape and the types of D, A and B"));
    };
    let columns = columns(shape, if a == "tf32" { "k8" } else { "k16" });
    let host = site.host();
    let run = match (d, a, b) {
        ("f32", "bf16", "bf16") => run_single::<Bf16, 16>(host),
        ("f32", "f16", "f16") => run_single::<F16, 16>(host),
        ("f32", "tf32", "tf32") => run_single::<Tf32, 8>(host),
        ("f16", "f16", "f16") => run_half::<F16, 16>(host),
        _ => return Err(site.error(format!("wgmma of {a} and {b} into {d} is not known"))),
    };
    let Some(columns) = columns else {
        return Err(site.error(format!("shape {shape} of {a}; m64n8 to m64n256 in steps of 8")));
    };
    let (kind, count) =
        if d == "f32" { (Type::F32, columns / 2) } else { (Type::B32, columns / 4) };
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
    let detail = flags(site, in_registers, a != "tf32")? | if negated { NEGATED_KEEP } else { 0 };
    let depth = if a == "tf32" { 8 } else { 16 };
    let number = 2 * 16 * columns as i64 * depth;
    site.uses_async_proxy();
    let encoded = Encoded::new(run, Family::Tensor, &[left, right, keep]);
    site.emit(Encoded { list, number, detail, ..encoded })
}

/// The N of `m64nNkK`.
fn columns(shape: &str, depth: &str) -> Option<usize> {
    let columns: usize = shape.strip_prefix("m64n")?.strip_suffix(depth)?.parse().ok()?;
    (columns.is_multiple_of(8) && (8..=256).contains(&columns)).then_some(columns)
}

/// The integers at the end: signs, and for 16-bit elements which side of a matrix in memory is its row.
fn flags(site: &mut Site<'_, '_, '_>, in_registers: bool, transposable: bool) -> LoadResult<u32> {
    let sides = match (transposable, in_registers) {
        (true, false) => &[ACROSS_LEFT, ACROSS_RIGHT][..],
        (true, true) => &[ACROSS_RIGHT],
        (false, _) => &[],
    };
    site.expect_operands(6 + sides.len())?;
    let mut flags = if in_registers { REGISTERS } else { 0 };
    for (index, flag) in [(4, NEGATED_LEFT), (5, NEGATED_RIGHT)] {
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

/// The descriptor in a register, the same in all lanes.
fn descriptor(turn: &Turn<'_>, slot: Slot) -> Checked<Descriptor> {
    let bits = turn.registers.get::<u64>(slot);
    if bits != [bits[0]; LANES] {
        return broken("lanes with different matrix descriptors");
    }
    Descriptor::new(bits[0]).or_else(broken)
}

/// What a product reads of shared memory: pieces of 16 bytes.
struct Pieces {
    addresses: Vec<u64>,
    bytes: Vec<[u8; 16]>,
}

impl Pieces {
    fn read(turn: &mut Turn<'_>, addresses: Vec<u64>) -> Checked<Self> {
        let mut bytes = vec![[0; 16]; addresses.len()];
        turn.shared_async_pieces(&addresses, &mut bytes)?;
        Ok(Self { addresses, bytes })
    }
}

/// Element `index` of a piece.
#[inline(always)]
fn element<F: Format<Number = f32>>(piece: &[u8; 16], index: usize) -> f32 {
    let at = index / F::COUNT * 4;
    let word = u32::from_le_bytes([piece[at], piece[at + 1], piece[at + 2], piece[at + 3]]);
    F::element(word, index % F::COUNT)
}

/// The warp's sixteen rows of A, and where they lay.
#[inline(always)]
fn left_rows<F: Format<Number = f32>, const K: usize>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    sums: usize,
) -> Checked<([[f32; K]; 16], Pieces)> {
    if instruction.detail & REGISTERS != 0 {
        let empty = Pieces { addresses: Vec::new(), bytes: Vec::new() };
        return Ok((left::<F, K>(&rows::<A>(turn, instruction, sums)), empty));
    }
    let descriptor = descriptor(turn, instruction.operands[LEFT])?;
    let (first, half) = (u64::from(turn.warp % 4 * 16), K / 2);
    let mut a = [[0.0; K]; 16];
    if instruction.detail & ACROSS_LEFT == 0 {
        let place = |i: u64| descriptor.along_depth(first + i / 2, i % 2);
        let pieces = Pieces::read(turn, (0..32).map(place).collect())?;
        for (i, piece) in pieces.bytes.iter().enumerate() {
            for k in 0..half {
                a[i / 2][i % 2 * half + k] = element::<F>(piece, k);
            }
        }
        return Ok((a, pieces));
    }
    let place = |i: u64| descriptor.across_depth(first / 8 + i % 2, i / 2);
    let pieces = Pieces::read(turn, (0..2 * K as u64).map(place).collect())?;
    for (i, piece) in pieces.bytes.iter().enumerate() {
        for row in 0..8 {
            a[i % 2 * 8 + row][i / 2] = element::<F>(piece, row);
        }
    }
    Ok((a, pieces))
}

/// All columns of B, eight at a time, and where they lay.
#[inline(always)]
fn right_columns<F: Format<Number = f32>, const K: usize>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    blocks: usize,
) -> Checked<(Vec<[[f32; 8]; K]>, Pieces)> {
    let descriptor = descriptor(turn, instruction.operands[RIGHT])?;
    let half = K / 2;
    let mut b = vec![[[0.0; 8]; K]; blocks];
    if instruction.detail & ACROSS_RIGHT == 0 {
        let place = |i: u64| descriptor.along_depth(i / 2, i % 2);
        let pieces = Pieces::read(turn, (0..16 * blocks as u64).map(place).collect())?;
        for (block, pieces) in b.iter_mut().zip(pieces.bytes.chunks_exact(16)) {
            for (i, piece) in pieces.iter().enumerate() {
                for k in 0..half {
                    block[i % 2 * half + k][i / 2] = element::<F>(piece, k);
                }
            }
        }
        return Ok((b, pieces));
    }
    let place = |i: u64| descriptor.across_depth(i / K as u64, i % K as u64);
    let pieces = Pieces::read(turn, (0..(K * blocks) as u64).map(place).collect())?;
    for (block, pieces) in b.iter_mut().zip(pieces.bytes.chunks_exact(K)) {
        for (k, piece) in pieces.iter().enumerate() {
            for (column, to) in block[k].iter_mut().enumerate().take(8) {
                *to = element::<F>(piece, column);
            }
        }
    }
    Ok((b, pieces))
}

/// What a register of D holds, or will hold once the products before have arrived.
#[inline(always)]
fn sum_words(turn: &Turn<'_>, slot: Slot) -> [u32; LANES] {
    let late = turn.launch.options.adversarial.is_some();
    let pending = late.then(|| turn.block.asynchronous.products[turn.warp as usize].sum(slot));
    pending.flatten().copied().unwrap_or(turn.registers.row(slot).0)
}

/// Multiplies; `PER` registers of D hold eight columns, which `unpack` and `pack` turn into numbers and back.
#[inline(always)]
fn product<F: Format<Number = f32>, const K: usize, const PER: usize>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    unpack: impl Fn(&[[u32; LANES]; PER]) -> [[f32; 8]; 16],
    pack: impl Fn(&[[f32; 8]; 16]) -> [[u32; LANES]; PER],
) -> Checked<()> {
    let list = turn.launch.list(instruction.list);
    let count = list.len() - if instruction.detail & REGISTERS != 0 { A } else { 0 };
    start(turn, &list[..count], &list[count..])?;
    let (mut a, left) = left_rows::<F, K>(turn, instruction, count)?;
    let (b, right) = right_columns::<F, K>(turn, instruction, count / PER)?;
    let signs = [NEGATED_LEFT, NEGATED_RIGHT].map(|flag| instruction.detail & flag != 0);
    if signs[0] != signs[1] {
        a.iter_mut().flatten().for_each(|x| *x = -*x);
    }
    let keep = turn.registers.predicate(instruction.operands[KEEP]);
    let keep = (instruction.detail & NEGATED_KEEP != 0) != (keep & 1 == 1);
    let mut results = Vec::with_capacity(count);
    for (block, slots) in b.iter().zip(list[..count].chunks_exact(PER)) {
        let mut c = match keep {
            true => unpack(&std::array::from_fn(|i| sum_words(turn, slots[i]))),
            false => [[0.0; 8]; 16],
        };
        multiply(&a, block, &mut c);
        results.extend(slots.iter().copied().zip(pack(&c)));
    }
    turn.block.profile.tensor(turn.pc, instruction.number as u64);
    finish(turn, results, &list[count..], [left, right]);
    Ok(())
}

/// Before a product: is the warpgroup whole, and have its registers been fenced?
fn start(turn: &mut Turn<'_>, sums: &[Slot], registers: &[Slot]) -> Checked<()> {
    if (turn.warp / 4 + 1) * 128 > turn.launch.threads() {
        return broken("wgmma in a warpgroup of fewer than 128 threads");
    }
    let products = &turn.block.asynchronous.products[turn.warp as usize];
    if !products.any_fence {
        return broken("wgmma.mma_async with no wgmma.fence before it");
    }
    let Some(fenced) = &products.fenced else { return Ok(()) };
    for slot in sums.iter().chain(registers) {
        let now = turn.registers.row(*slot).0;
        let in_flight = products.sum(*slot).is_some();
        if in_flight && sums.contains(slot) && now != [IN_FLIGHT; LANES] {
            return broken("a register of D was written while a product was on its way into it");
        }
        if in_flight && registers.contains(slot) {
            return broken("a register of A is one of D of a product that was not waited for");
        }
        if !in_flight && fenced[slot.0 as usize].0 != now {
            return broken("a register of A or D was written after the last wgmma.fence");
        }
    }
    Ok(())
}

/// Writes D, or keeps it until it is waited for.
fn finish(
    turn: &mut Turn<'_>,
    results: Vec<(Slot, [u32; LANES])>,
    registers: &[Slot],
    pieces: [Pieces; 2],
) {
    if turn.launch.options.adversarial.is_none() {
        results.iter().for_each(|(slot, words)| turn.registers.row_mut(*slot).0 = *words);
        return;
    }
    let mut product = Product::new(turn.pc);
    product.registers = registers.iter().map(|slot| (*slot, turn.registers.row(*slot).0)).collect();
    for Pieces { addresses, bytes } in pieces {
        product.pieces.extend(addresses.into_iter().zip(bytes));
    }
    results.iter().for_each(|(slot, _)| turn.registers.row_mut(*slot).0 = [IN_FLIGHT; LANES]);
    product.sums = results;
    turn.block.asynchronous.products[turn.warp as usize].start(product);
}

crate::run! {
    fn run_single<F: Format<Number = f32>; const K: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        product::<F, K, 4>(turn, instruction, sums, registers)?;
        Ok(Flow::Next)
    }
}

crate::run! {
    fn run_half<F: Format<Number = f32>; const K: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        product::<F, K, 2>(turn, instruction, half_sums, half_registers)?;
        Ok(Flow::Next)
    }
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
