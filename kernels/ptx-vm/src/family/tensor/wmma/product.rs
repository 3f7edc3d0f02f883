//! `wmma.mma`.

use super::super::aligned::{results, sources, whole_warp};
use super::super::fragments::Number;
use super::matrix::{Kind, Matrix, Part, exists, packed_shape, shape, unpacked_shape};
use super::take_layout;
use crate::arithmetic::half::{from_f16, to_f16};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Run, flag};
use crate::registers::{ALL, LANES, Slot};
use crate::shapes::Host;
use crate::turn::{Flow, Turn};

/// `detail` of products: the orders of A and B, the kinds of A, B, C and D; whether integers stay at the ends of their
/// range.
const A_BY_ROWS: u32 = 1;
const B_BY_ROWS: u32 = 2;
const SATURATE: u32 = 4;
const KINDS_SHIFT: u32 = 3;

/// `wmma.mma.sync.aligned.alayout.blayout.shape.types d, a, b, c`; of f16 the types are those of D and C.
pub(super) fn multiplication(
    site: &mut Site<'_, '_, '_>,
    mut modifiers: Modifiers<'_>,
) -> LoadResult<()> {
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
