//! `wmma`: matrices that a warp loads, multiplies and stores as a whole (`nvcuda::wmma`). How lanes hold them is the
//! machine's own business, as the manual says: the elements of A and B lie one after the other as they do in memory,
//! each register of all lanes a stretch of them; those of C and D row by row.

use super::aligned::{results, sources, whole_warp};
use super::fragments::Number;
use super::pointer::{self, Pointer, addresses};
use crate::arithmetic::half::{from_f16, to_f16};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::memory::Element;
use crate::program::{Family, Instruction, Run, flag};
use crate::registers::{ALL, LANES, Slot};
use crate::shapes::Host;
use crate::syntax::{Space, Type};
use crate::turn::{Flow, How, Turn};

/// Rows and columns of D, and the depth.
type Shape = [usize; 3];

fn shape(name: &str) -> Option<Shape> {
    Some(match name {
        "m16n16k16" => [16, 16, 16],
        "m32n8k16" => [32, 8, 16],
        "m8n32k16" => [8, 32, 16],
        "m16n16k8" => [16, 16, 8],
        "m8n8k4" => [8, 8, 4],
        _ => return None,
    })
}

/// What elements are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    F16,
    Bf16,
    Tf32,
    F32,
    F64,
    U8,
    S8,
    S32,
}

const KINDS: [(&str, Kind); 8] = [
    ("f16", Kind::F16),
    ("bf16", Kind::Bf16),
    ("tf32", Kind::Tf32),
    ("f32", Kind::F32),
    ("f64", Kind::F64),
    ("u8", Kind::U8),
    ("s8", Kind::S8),
    ("s32", Kind::S32),
];

impl Kind {
    fn parse(name: &str) -> Option<Kind> {
        KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    fn from_number(number: u32) -> Kind {
        KINDS[number as usize % KINDS.len()].1
    }

    fn number(self) -> u32 {
        KINDS.iter().position(|(_, kind)| *kind == self).unwrap_or_default() as u32
    }

    fn bytes(self) -> usize {
        match self {
            Kind::U8 | Kind::S8 => 1,
            Kind::F16 | Kind::Bf16 => 2,
            Kind::Tf32 | Kind::F32 | Kind::S32 => 4,
            Kind::F64 => 8,
        }
    }

    /// Elements in a register.
    fn packed(self) -> usize {
        4usize.div_ceil(self.bytes())
    }

    /// The type of the registers.
    fn register(self) -> Type {
        match self {
            Kind::F32 => Type::F32,
            Kind::F64 => Type::F64,
            _ => Type::B32,
        }
    }

    /// Whether a shape can be multiplied in these elements.
    fn takes(self, shape: Shape) -> bool {
        match self {
            Kind::Tf32 => shape == [16, 16, 8],
            Kind::F64 => shape == [8, 8, 4],
            _ => shape[2] == 16,
        }
    }
}

/// Which matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    A,
    B,
    /// C or D.
    Sum,
}

/// A matrix in registers.
#[derive(Debug, Clone, Copy)]
struct Matrix {
    part: Part,
    kind: Kind,
    shape: Shape,
    /// Rows lie one after the other in memory, not columns.
    by_rows: bool,
}

impl Matrix {
    /// Rows and columns.
    fn size(self) -> [usize; 2] {
        let [m, n, k] = self.shape;
        match self.part {
            Part::A => [m, k],
            Part::B => [k, n],
            Part::Sum => [m, n],
        }
    }

    fn elements(self) -> usize {
        let [rows, columns] = self.size();
        rows * columns
    }

    /// Registers a lane has of it: those of f16 in A and B hold each element as often as it takes to fill eight.
    fn registers(self) -> usize {
        match (self.kind, self.part) {
            (Kind::F16, Part::A | Part::B) => 8,
            _ => self.elements() / LANES / self.kind.packed(),
        }
    }

    /// Registers that hold each element once.
    fn distinct(self) -> usize {
        self.elements() / LANES / self.kind.packed()
    }

    /// How many lines it has in memory, and elements in a line.
    fn lines(self) -> [usize; 2] {
        let [rows, columns] = self.size();
        if self.by_rows { [rows, columns] } else { [columns, rows] }
    }

    /// Where an element of a register lies in the matrix: row by row in sums, else in the order of memory.
    fn index(self, register: usize, lane: usize, element: usize) -> usize {
        match self.part {
            Part::Sum => (register * self.kind.packed() + element) * LANES + lane,
            _ => (register * LANES + lane) * self.kind.packed() + element,
        }
    }

    /// Line and place in it of an element in memory.
    fn place(self, index: usize) -> [usize; 2] {
        let [lines, length] = self.lines();
        match (self.part, self.by_rows) {
            // Sums are kept row by row, whatever their order in memory.
            (Part::Sum, false) => [index % lines, index / lines],
            _ => [index / length, index % length],
        }
    }
}

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
fn transfer(
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

fn exists(Matrix { part, kind, shape, .. }: Matrix) -> bool {
    match (part, kind) {
        (Part::Sum, Kind::F32) => shape != [8, 8, 4],
        (Part::Sum, Kind::F16 | Kind::S32) => shape[2] == 16,
        (Part::Sum, Kind::F64) => kind.takes(shape),
        (Part::Sum, _) | (_, Kind::F32 | Kind::S32) => false,
        _ => kind.takes(shape),
    }
}

fn packed_shape([m, n, k]: Shape) -> i64 {
    (m | n << 8 | k << 16) as i64
}

fn unpacked_shape(number: i64) -> Shape {
    [0, 8, 16].map(|shift| (number >> shift & 0xff) as usize)
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

/// `detail` of products: the orders of A and B, the kinds of A, B, C and D; whether integers stay at the ends of their
/// range.
const A_BY_ROWS: u32 = 1;
const B_BY_ROWS: u32 = 2;
const SATURATE: u32 = 4;
const KINDS_SHIFT: u32 = 3;

/// `wmma.mma.sync.aligned.alayout.blayout.shape.types d, a, b, c`; of f16 the types are those of D and C.
fn multiplication(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    let layouts = [take_layout(&mut modifiers), take_layout(&mut modifiers)];
    let shape = modifiers.take_one(shape);
    let saturate = modifiers.take("satfinite");
    let rest = modifiers.rest().to_vec();
    let kinds: Vec<Option<Kind>> = rest.iter().map(|name| Kind::parse(name)).collect();
    let kinds = match (kinds[..].iter().copied().collect::<Option<Vec<_>>>(), rest.last()) {
        (None, Some(&"rn")) => kinds[..kinds.len() - 1].iter().copied().collect(),
        (kinds, _) => kinds,
    };
    let [Some(a_by_rows), Some(b_by_rows)] = layouts else {
        return Err(site.error("expected the layouts of A and B"));
    };
    let types = kinds.as_deref().and_then(|kinds| match *kinds {
        [d, c] => Some([d, Kind::F16, Kind::F16, c]),
        [d, a, b, c] => Some([d, a, b, c]),
        _ => None,
    });
    let (Some(shape), Some([d, a, b, c])) = (shape, types) else {
        return Err(site.error("expected a shape and the types of D, A, B and C"));
    };
    let part = |part, kind, by_rows| Matrix { part, kind, shape, by_rows };
    let (ma, mb) = (part(Part::A, a, a_by_rows), part(Part::B, b, b_by_rows));
    let (mc, md) = (part(Part::Sum, c, true), part(Part::Sum, d, true));
    let run = pick(site.host(), [d, a, b, c], saturate);
    let Some(run) = run.filter(|_| [ma, mb, mc, md].into_iter().all(exists)) else {
        return Err(site.error(format!("wmma.mma of {a:?} and {b:?} into {d:?} is not known")));
    };
    site.expect_operands(4)?;
    let mut list = results(site, 0, md.registers(), d.register())?;
    for (index, matrix) in [(1, ma), (2, mb), (3, mc)] {
        list.extend(sources(site, index, matrix.registers(), matrix.kind.register())?);
    }
    let kinds = [a, b, c, d].iter().rev().fold(0, |kinds, kind| kinds << 3 | kind.number());
    let detail = flag(a_by_rows, A_BY_ROWS)
        | flag(b_by_rows, B_BY_ROWS)
        | flag(saturate, SATURATE)
        | kinds << KINDS_SHIFT;
    let number = packed_shape(shape);
    site.emit(Encoded { list, detail, number, ..Encoded::new(run, Family::Tensor, &[]) })
}

fn pick(host: Host, [d, a, b, c]: [Kind; 4], saturate: bool) -> Option<Run> {
    use Kind::{Bf16, F16, F32, F64, S8, S32, Tf32, U8};
    match ([d, a, b, c], saturate) {
        ([F16 | F32, F16, F16, F16 | F32], false) => Some(multiply::<f32>(host)),
        ([F32, Bf16, Bf16, F32] | [F32, Tf32, Tf32, F32], false) => Some(multiply::<f32>(host)),
        ([F64, F64, F64, F64], false) => Some(multiply::<f64>(host)),
        ([S32, U8, U8, S32] | [S32, S8, S8, S32], _) => Some(multiply::<i32>(host)),
        _ => None,
    }
}

/// What products are summed in.
trait Sum: Copy + Default + 'static {
    /// An element out of a register.
    fn element(kind: Kind, word: u64, index: usize) -> Self;
    /// The same put back.
    fn word(self, kind: Kind) -> u64;
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self;
    /// C and the products, held at the ends of the range.
    fn held(self, products: Self) -> Self;
}

impl Sum for f32 {
    #[inline(always)]
    fn element(kind: Kind, word: u64, index: usize) -> Self {
        let half = (word >> (16 * index)) as u16;
        match kind {
            Kind::F16 => from_f16(half),
            Kind::Bf16 => f32::from_bits(u32::from(half) << 16),
            // The 13 lowest bits do not count.
            Kind::Tf32 => f32::from_bits(word as u32 & 0xffff_e000),
            _ => f32::from_bits(word as u32),
        }
    }
    #[inline(always)]
    fn word(self, kind: Kind) -> u64 {
        match kind {
            Kind::F16 => u64::from(to_f16(self)),
            _ => u64::from(self.to_bits()),
        }
    }
    #[inline(always)]
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self {
        <f32 as Number>::multiply_add(a, b, sum)
    }
    #[inline(always)]
    fn held(self, products: Self) -> Self {
        self + products
    }
}

impl Sum for f64 {
    #[inline(always)]
    fn element(_: Kind, word: u64, _: usize) -> Self {
        f64::from_bits(word)
    }
    #[inline(always)]
    fn word(self, _: Kind) -> u64 {
        self.to_bits()
    }
    #[inline(always)]
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self {
        a.mul_add(b, sum)
    }
    #[inline(always)]
    fn held(self, products: Self) -> Self {
        self + products
    }
}

impl Sum for i32 {
    #[inline(always)]
    fn element(kind: Kind, word: u64, index: usize) -> Self {
        let byte = (word >> (8 * index)) as u8;
        match kind {
            Kind::U8 => i32::from(byte),
            Kind::S8 => i32::from(byte as i8),
            _ => word as i32,
        }
    }
    #[inline(always)]
    fn word(self, _: Kind) -> u64 {
        u64::from(self as u32)
    }
    #[inline(always)]
    fn multiply_add(a: Self, b: Self, sum: Self) -> Self {
        <i32 as Number>::multiply_add(a, b, sum)
    }
    #[inline(always)]
    fn held(self, products: Self) -> Self {
        self.saturating_add(products)
    }
}

/// Elements of the largest matrix.
const MOST: usize = 512;

/// A matrix out of registers, row by row.
#[inline(always)]
fn read<S: Sum>(turn: &Turn<'_>, matrix: Matrix, slots: &[Slot]) -> [S; MOST] {
    let mut elements = [S::default(); MOST];
    let [_, columns] = matrix.size();
    for (register, &slot) in slots[..matrix.distinct()].iter().enumerate() {
        let words = match matrix.kind {
            Kind::F64 => turn.registers.get::<u64>(slot),
            _ => turn.registers.get::<u32>(slot).map(u64::from),
        };
        for (lane, &word) in words.iter().enumerate() {
            for element in 0..matrix.kind.packed() {
                let index = matrix.index(register, lane, element);
                let [line, place] = match matrix.part {
                    Part::Sum => [index / columns, index % columns],
                    _ => matrix.place(index),
                };
                let [row, column] = match matrix.part == Part::Sum || matrix.by_rows {
                    true => [line, place],
                    false => [place, line],
                };
                elements[row * columns + column] = S::element(matrix.kind, word, element);
            }
        }
    }
    elements
}

crate::run! {
    /// Each sum starts from C and adds the products in the order of `k`, rounding after each; sums of f16 are rounded once
    /// more at the end. Integers wrap around, or the products' sum is added to C and held.
    fn multiply<S: Sum>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let (detail, shape) = (instruction.detail, unpacked_shape(instruction.number));
        let [m, n, k] = shape;
        let kind = |i: u32| Kind::from_number(detail >> (KINDS_SHIFT + 3 * i) & 7);
        let ma = Matrix { part: Part::A, kind: kind(0), shape, by_rows: detail & A_BY_ROWS != 0 };
        let mb = Matrix { part: Part::B, kind: kind(1), shape, by_rows: detail & B_BY_ROWS != 0 };
        let mc = Matrix { part: Part::Sum, kind: kind(2), shape, by_rows: true };
        let md = Matrix { kind: kind(3), ..mc };
        let list = turn.launch.list(instruction.list);
        let (to, rest) = list.split_at(md.registers());
        let (a, rest) = rest.split_at(ma.registers());
        let (b, c) = rest.split_at(mb.registers());
        let (a, b, mut sums) = (read::<S>(turn, ma, a), read::<S>(turn, mb, b), read::<S>(turn, mc, c));
        let held = detail & SATURATE != 0;
        for (row, sums) in sums[..m * n].chunks_exact_mut(n).enumerate() {
            let mut products = [S::default(); 32];
            let products = &mut products[..n];
            if !held {
                products.copy_from_slice(sums);
            }
            for (i, b) in b[..k * n].chunks_exact(n).enumerate() {
                let a = a[row * k + i];
                products.iter_mut().zip(b).for_each(|(sum, &b)| *sum = S::multiply_add(a, b, *sum));
            }
            for (sum, &products) in sums.iter_mut().zip(&*products) {
                *sum = if held { sum.held(products) } else { products };
            }
        }
        for (register, &slot) in to.iter().enumerate() {
            let words: [u64; LANES] = std::array::from_fn(|lane| {
                (0..md.kind.packed()).fold(0, |word, element| {
                    let sum = sums[md.index(register, lane, element)];
                    word | sum.word(md.kind) << (8 * md.kind.bytes() * element)
                })
            });
            match md.kind {
                Kind::F64 => turn.registers.set(slot, ALL, &words),
                _ => turn.registers.set(slot, ALL, &words.map(|word| word as u32)),
            }
        }
        turn.block.profile.tensor(turn.pc, (2 * m * n * k) as u64);
        Ok(Flow::Next)
    }
}
