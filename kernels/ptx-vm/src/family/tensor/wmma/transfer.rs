//! `wmma.load` and `wmma.store`.

use super::super::aligned::{results, sources, whole_warp};
use super::super::pointer::{self, Pointer, addresses};
use super::matrix::{Kind, Matrix, Part, exists, packed_shape, shape, unpacked_shape};
use super::take_layout;
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Element;
use crate::program::{Family, Instruction, Run, flag};
use crate::registers::{ALL, LANES};
use crate::syntax::{Space, Type};
use crate::turn::{Flow, How, Turn};

/// `detail` of loads and stores, above the address: part, order, kind and space; `number` holds the shape.
const PART_SHIFT: u32 = pointer::BITS;
const BY_ROWS: u32 = 1 << (PART_SHIFT + 2);
const KIND_SHIFT: u32 = PART_SHIFT + 3;
const SPACE_SHIFT: u32 = KIND_SHIFT + 3;
const SPACES: [Space; 3] = [Space::Generic, Space::Global, Space::Shared];
const PARTS: [Part; 3] = [Part::A, Part::B, Part::Sum];
/// Operands: the address, and the elements from one line to the next.
const STRIDE: usize = pointer::SLOTS;

/// `wmma.load.a|b|c.sync.aligned.layout.shape{.space}.type r, [p]{, stride}` and `wmma.store.d... [p], r{, stride}`.
pub(super) fn transfer(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
    load: bool,
) -> LoadResult<()> {
    let part = modifiers.take_one(|m| match m {
        "a" if load => Some(Part::A),
        "b" if load => Some(Part::B),
        "c" if load => Some(Part::Sum),
        "d" if !load => Some(Part::Sum),
        _ => None,
    });
    let by_rows = take_layout(&mut modifiers);
    let shape = modifiers.take_one(shape);
    let space = modifiers.take_one(|m| match m {
        "global" => Some(Space::Global),
        "shared" | "shared::cta" => Some(Space::Shared),
        _ => None,
    });
    let space = space.unwrap_or(Space::Generic);
    let kind = modifiers.take_one(Kind::parse);
    modifiers.finish()?;
    let (Some(part), Some(by_rows), Some(shape), Some(kind)) = (part, by_rows, shape, kind) else {
        return Err(site.error("expected a matrix, a layout, a shape and a type"));
    };
    let matrix = Matrix { part, kind, shape, by_rows };
    if !exists(matrix) {
        return Err(site.error(format!("there is no such matrix of {kind:?}")));
    }
    let count = site.instruction.operands.len();
    if !(2..=3).contains(&count) {
        return Err(site.error(format!("expected 2 or 3 operands, found {count}")));
    }
    let pointer = Pointer::decode(site, usize::from(load), space)?;
    let list = match load {
        true => results(site, 0, matrix.registers(), kind.register())?,
        false => sources(site, 1, matrix.registers(), kind.register())?,
    };
    let stride = match count {
        3 => site.source(2, Type::U32)?,
        _ => site.constant(matrix.lines()[1] as u64, false),
    };
    let space = SPACES.iter().position(|s| *s == space).unwrap_or_default() as u32;
    let part = PARTS.iter().position(|p| *p == part).unwrap_or_default() as u32;
    let detail = pointer.flags
        | part << PART_SHIFT
        | flag(by_rows, BY_ROWS)
        | kind.number() << KIND_SHIFT
        | space << SPACE_SHIFT;
    let number = packed_shape(shape);
    let operands = [pointer.slots[0], pointer.slots[1], stride];
    let run: Run = if load { run_load } else { run_store };
    site.emit(Encoded { detail, number, list, ..Encoded::new(run, Family::Tensor, &operands) })
}

/// The matrix of a load or store, its space, the first address and the stride, which all lanes have in common.
fn described(turn: &Turn<'_>, instruction: &Instruction) -> Checked<(Matrix, Space, u64, u64)> {
    let detail = instruction.detail;
    let matrix = Matrix {
        part: PARTS[(detail >> PART_SHIFT & 3) as usize],
        kind: Kind::from_number(detail >> KIND_SHIFT & 7),
        shape: unpacked_shape(instruction.number),
        by_rows: detail & BY_ROWS != 0,
    };
    let space = SPACES[(detail >> SPACE_SHIFT & 3) as usize];
    let addresses = addresses(turn, instruction, 0, 0);
    let strides = turn.registers.get::<u32>(instruction.operands[STRIDE]);
    let differs = |lane: &usize| addresses[*lane] != addresses[0] || strides[*lane] != strides[0];
    if let Some(lane) = (0..LANES).find(differs) {
        let message = "lanes of one warp with different addresses or strides of one matrix";
        return Err(Box::new(Violation::by(Rule::Trap, lane as u32, message)));
    }
    let (at, stride) = (addresses[0], u64::from(strides[0]));
    // The manual wants each line at a multiple of the fragment's bytes, the programming guide at one of 16.
    let fragment = (matrix.registers() * if matrix.kind == Kind::F64 { 8 } else { 4 }) as u64;
    let step = stride * matrix.kind.bytes() as u64;
    let wrong = match (at % fragment, step % fragment.min(16)) {
        (0, 0) => return Ok((matrix, space, at, stride)),
        (0, _) => format!("lines {step} bytes apart, which is no multiple of {}", fragment.min(16)),
        _ => format!("a matrix at 0x{at:x}, which is no multiple of {fragment}"),
    };
    Err(Box::new(Violation::at(Rule::Misaligned, 0, at, wrong)))
}

/// Where the lanes' elements number `element` of a register lie.
fn places(
    matrix: Matrix,
    (at, stride): (u64, u64),
    register: usize,
    element: usize,
) -> [u64; LANES] {
    std::array::from_fn(|lane| {
        let [line, place] = matrix.place(matrix.index(register, lane, element));
        at.wrapping_add((line as u64 * stride + place as u64) * matrix.kind.bytes() as u64)
    })
}

fn run_load(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = whole_warp(turn, mask)? {
        return Ok(flow);
    }
    let (matrix, space, at, stride) = described(turn, instruction)?;
    let slots = turn.launch.list(instruction.list);
    for register in 0..matrix.distinct() {
        let copies = slots.iter().skip(register).step_by(matrix.distinct());
        let mut words = [0u64; LANES];
        for element in 0..matrix.kind.packed() {
            let addresses = places(matrix, (at, stride), register, element);
            let shift = 8 * (matrix.kind.bytes() * element) as u32;
            let values = match matrix.kind.bytes() {
                1 => loaded::<u8>(turn, space, &addresses)?,
                2 => loaded::<u16>(turn, space, &addresses)?,
                4 => loaded::<u32>(turn, space, &addresses)?,
                _ => loaded::<u64>(turn, space, &addresses)?,
            };
            words.iter_mut().zip(values).for_each(|(word, value)| *word |= value << shift);
        }
        for &slot in copies {
            match matrix.kind {
                Kind::F64 => turn.registers.set(slot, ALL, &words),
                _ => turn.registers.set(slot, ALL, &words.map(|word| word as u32)),
            }
        }
    }
    Ok(Flow::Next)
}

fn loaded<T: Element + Into<u64>>(
    turn: &mut Turn<'_>,
    space: Space,
    addresses: &[u64; LANES],
) -> Checked<[u64; LANES]> {
    Ok(turn.load::<T, 1>(space, ALL, addresses, How::default())?[0].map(Into::into))
}

fn run_store(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    if let Some(flow) = whole_warp(turn, mask)? {
        return Ok(flow);
    }
    let (matrix, space, at, stride) = described(turn, instruction)?;
    for register in 0..matrix.distinct() {
        let slot = turn.launch.list(instruction.list)[register];
        for element in 0..matrix.kind.packed() {
            let addresses = places(matrix, (at, stride), register, element);
            match matrix.kind {
                Kind::F16 => {
                    let words = turn.registers.get::<u32>(slot);
                    let halves = words.map(|word| (word >> (16 * element)) as u16);
                    turn.store(space, ALL, &addresses, &[halves], How::default())?;
                }
                Kind::F64 => {
                    let words = turn.registers.get::<u64>(slot);
                    turn.store(space, ALL, &addresses, &[words], How::default())?;
                }
                _ => {
                    let words = turn.registers.get::<u32>(slot);
                    turn.store(space, ALL, &addresses, &[words], How::default())?;
                }
            }
        }
    }
    Ok(Flow::Next)
}
