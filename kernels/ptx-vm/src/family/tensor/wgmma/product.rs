//! One product of a warp: its rows of A, all columns of B, and D before it is waited for.

use super::super::aligned::{rows, whole_warp};
use super::super::descriptor::Descriptor;
use super::super::fragments::{
    Format, Number, half_registers, half_sums, left, multiply, registers, sums,
};
use super::{
    A, ACROSS_LEFT, ACROSS_RIGHT, KEEP, LEFT, NEGATED_KEEP, NEGATED_LEFT, NEGATED_RIGHT, REGISTERS,
    RIGHT, SATURATED, broken,
};
use crate::asynchronous::{IN_FLIGHT, Product};
use crate::error::Checked;
use crate::program::Instruction;
use crate::registers::{LANES, Slot};
use crate::turn::{Flow, Turn};

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
fn element<F: Format>(piece: &[u8; 16], index: usize) -> F::Number {
    let at = index / F::COUNT * 4;
    let word = u32::from_le_bytes([piece[at], piece[at + 1], piece[at + 2], piece[at + 3]]);
    F::element(word, index % F::COUNT)
}

/// The warp's sixteen rows of A, and where they lay.
#[inline(always)]
fn left_rows<F: Format, const K: usize>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    sums: usize,
) -> Checked<([[F::Number; K]; 16], Pieces)> {
    if instruction.detail & REGISTERS != 0 {
        let empty = Pieces { addresses: Vec::new(), bytes: Vec::new() };
        return Ok((left::<F, K>(&rows::<A>(turn, instruction, sums)), empty));
    }
    let descriptor = descriptor(turn, instruction.operands[LEFT])?;
    let (first, half) = (u64::from(turn.warp % 4 * 16), K / 2);
    let mut a = [[F::Number::default(); K]; 16];
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

/// Eight columns of B after the other eight.
type Columns<N, const K: usize> = Vec<[[N; 8]; K]>;

/// All columns of B, eight at a time, and where they lay.
#[inline(always)]
fn right_columns<F: Format, const K: usize>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    blocks: usize,
) -> Checked<(Columns<F::Number, K>, Pieces)> {
    let descriptor = descriptor(turn, instruction.operands[RIGHT])?;
    let half = K / 2;
    let mut b = vec![[[F::Number::default(); 8]; K]; blocks];
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
fn product<
    N: Number,
    F: Format<Number = N>,
    G: Format<Number = N>,
    const K: usize,
    const PER: usize,
>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    unpack: impl Fn(&[[u32; LANES]; PER]) -> [[N; 8]; 16],
    pack: impl Fn(&[[N; 8]; 16]) -> [[u32; LANES]; PER],
    add: impl Fn(&[[N; K]; 16], &[[N; 8]; K], &mut [[N; 8]; 16]),
) -> Checked<()> {
    let list = turn.launch.list(instruction.list);
    let count = list.len() - if instruction.detail & REGISTERS != 0 { A } else { 0 };
    start(turn, &list[..count], &list[count..])?;
    let (mut a, left) = left_rows::<F, K>(turn, instruction, count)?;
    let (b, right) = right_columns::<G, K>(turn, instruction, count / PER)?;
    let signs = [NEGATED_LEFT, NEGATED_RIGHT].map(|flag| instruction.detail & flag != 0);
    if signs[0] != signs[1] {
        a.iter_mut().flatten().for_each(|x| *x = x.negated());
    }
    let keep = turn.registers.predicate(instruction.operands[KEEP]);
    let keep = (instruction.detail & NEGATED_KEEP != 0) != (keep & 1 == 1);
    let mut results = Vec::with_capacity(count);
    for (block, slots) in b.iter().zip(list[..count].chunks_exact(PER)) {
        let mut c = match keep {
            true => unpack(&std::array::from_fn(|i| sum_words(turn, slots[i]))),
            false => [[N::default(); 8]; 16],
        };
        add(&a, block, &mut c);
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
    pub fn run_single<F: Format<Number = f32>, G: Format<Number = f32>; const K: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        product::<f32, F, G, K, 4>(turn, instruction, sums, registers, multiply)?;
        Ok(Flow::Next)
    }
}

crate::run! {
    pub fn run_half<F: Format<Number = f32>, G: Format<Number = f32>; const K: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        product::<f32, F, G, K, 2>(turn, instruction, half_sums, half_registers, multiply)?;
        Ok(Flow::Next)
    }
}

crate::run! {
    pub fn run_integer<F: Format<Number = i32>, G: Format<Number = i32>; const K: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        match instruction.detail & SATURATED {
            0 => product::<i32, F, G, K, 4>(turn, instruction, sums, registers, multiply)?,
            _ => product::<i32, F, G, K, 4>(turn, instruction, sums, registers, multiply_saturated)?,
        }
        Ok(Flow::Next)
    }
}

/// Sums are held at the ends of their range. The products alone never reach them.
#[inline(always)]
fn multiply_saturated<const K: usize>(
    a: &[[i32; K]; 16],
    b: &[[i32; 8]; K],
    c: &mut [[i32; 8]; 16],
) {
    let mut products = [[0; 8]; 16];
    multiply(a, b, &mut products);
    for (c, product) in c.iter_mut().flatten().zip(products.iter().flatten()) {
        *c = c.saturating_add(*product);
    }
}
