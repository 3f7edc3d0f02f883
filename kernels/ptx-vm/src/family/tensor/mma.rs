//! `mma.sync`: the product of two small matrices that the lanes of a warp hold in registers, added to a third.

use super::aligned::{results, rows, sources, whole_warp};
use super::fragments::{
    Bf16, E4m3, E5m2, F16, Format, Tf32, half_registers, half_sums, left, multiply, registers,
    right, sums,
};
use super::mma_double;
use super::mma_integer::{self, Bits};
use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, Instruction, Run};
use crate::registers::LANES;
use crate::shapes::Host;
use crate::syntax::Type;
use crate::turn::{Flow, Turn};

/// A shape with its formats: registers of A, B and C, and what runs it.
pub struct Product {
    pub rows: usize,
    pub depth: usize,
    pub counts: [usize; 3],
    pub run: Run,
    pub detail: u32,
}

/// `mma.sync.aligned.shape.row.col{.satfinite}.d.a.b.c d, a, b, c`: the list is D, A, B, C.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    for name in ["sync", "aligned", "row", "col"] {
        if !modifiers.take(name) {
            return Err(site.error(format!("expected .{name}")));
        }
    }
    let saturate = modifiers.take("satfinite");
    // Doubles round to nearest, said or not.
    let nearest = modifiers.take("rn");
    let bits = modifiers.take_one(|m| match m {
        "and" => Some(Bits::And),
        "xor" => Some(Bits::Xor),
        _ => None,
    });
    if modifiers.take("popc") != bits.is_some() {
        return Err(site.error("expected .and.popc or .xor.popc"));
    }
    let rest = modifiers.rest().to_vec();
    let [shape, d, a, b, c] = rest[..] else {
        return Err(site.error("expected a shape and the types of D, A, B and C"));
    };
    if d != c {
        return Err(site.error(format!("C of type {c} and D of type {d}")));
    }
    if let ([_, "f64", "f64", "f64", "f64"], Some(shape), false) =
        (&rest[..], mma_double::shape(shape), saturate)
    {
        return mma_double::decode(site, shape);
    }
    if nearest {
        return Err(site.error("unknown modifier .rn"));
    }
    let host = site.host();
    let product = match d {
        "s32" => mma_integer::pick(host, shape, [a, b], bits, saturate),
        _ if saturate || bits.is_some() => None,
        _ => pick(host, shape, [d, a, b]),
    };
    let Some(Product { rows, depth, counts, run, detail }) = product else {
        return Err(site.error(format!(
            "mma.{shape} of {a} and {b} into {d}{} is not known: m16n8k8 and m16n8k16 of bf16 or f16, m16n8k4 and \
             m16n8k8 of tf32, m16n8k16 and m16n8k32 of e4m3 or e5m2, m8n8k16 to m16n8k32 of s8 or u8, m8n8k32 to \
             m16n8k64 of s4 or u4, m8n8k128 to m16n8k256 of b1, m8n8k4 to m16n8k16 of f64",
            if saturate { " with .satfinite" } else { "" }
        )));
    };
    site.expect_operands(4)?;
    let sum = if d == "f32" { Type::F32 } else { Type::B32 };
    let mut list = results(site, 0, counts[2], sum)?;
    list.extend(sources(site, 1, counts[0], Type::B32)?);
    list.extend(sources(site, 2, counts[1], Type::B32)?);
    list.extend(sources(site, 3, counts[2], sum)?);
    let number = 2 * rows as i64 * 8 * depth as i64;
    site.emit(Encoded { list, number, detail, ..Encoded::new(run, Family::Tensor, &[]) })
}

fn pick(host: Host, shape: &str, [d, a, b]: [&str; 3]) -> Option<Product> {
    let product = |depth, counts, run| Some(Product { rows: 16, depth, counts, run, detail: 0 });
    if a != b || a.starts_with('e') {
        return match (shape, d) {
            ("m16n8k16", "f32") => product(16, [2, 1, 4], bytes::<16, 2, 1>(host, a, b)?),
            ("m16n8k32", "f32") => product(32, [4, 2, 4], bytes::<32, 4, 2>(host, a, b)?),
            ("m16n8k16", "f16") => product(16, [2, 1, 2], half_bytes::<16, 2, 1>(host, a, b)?),
            ("m16n8k32", "f16") => product(32, [4, 2, 2], half_bytes::<32, 4, 2>(host, a, b)?),
            _ => None,
        };
    }
    match (shape, d, a) {
        ("m16n8k8", "f32", "bf16") => product(8, [2, 1, 4], single::<Bf16, Bf16, 8, 2, 1>(host)),
        ("m16n8k16", "f32", "bf16") => product(16, [4, 2, 4], single::<Bf16, Bf16, 16, 4, 2>(host)),
        ("m16n8k8", "f32", "f16") => product(8, [2, 1, 4], single::<F16, F16, 8, 2, 1>(host)),
        ("m16n8k16", "f32", "f16") => product(16, [4, 2, 4], single::<F16, F16, 16, 4, 2>(host)),
        ("m16n8k8", "f16", "f16") => product(8, [2, 1, 2], half::<F16, F16, 8, 2, 1>(host)),
        ("m16n8k16", "f16", "f16") => product(16, [4, 2, 2], half::<F16, F16, 16, 4, 2>(host)),
        ("m16n8k4", "f32", "tf32") => product(4, [2, 1, 4], single::<Tf32, Tf32, 4, 2, 1>(host)),
        ("m16n8k8", "f32", "tf32") => product(8, [4, 2, 4], single::<Tf32, Tf32, 8, 4, 2>(host)),
        _ => None,
    }
}

macro_rules! mixed {
    ($name:ident, $run:ident) => {
        fn $name<const K: usize, const A: usize, const B: usize>(
            host: Host,
            a: &str,
            b: &str,
        ) -> Option<Run> {
            Some(match (a, b) {
                ("e4m3", "e4m3") => $run::<E4m3, E4m3, K, A, B>(host),
                ("e4m3", "e5m2") => $run::<E4m3, E5m2, K, A, B>(host),
                ("e5m2", "e4m3") => $run::<E5m2, E4m3, K, A, B>(host),
                ("e5m2", "e5m2") => $run::<E5m2, E5m2, K, A, B>(host),
                _ => return None,
            })
        }
    };
}

mixed!(bytes, single);
mixed!(half_bytes, half);

crate::run! {
    /// Sums of 32 bits.
    fn single<F: Format<Number = f32>, G: Format<Number = f32>; const K: usize; const A: usize; const B: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let a = left::<F, K>(&rows::<A>(turn, instruction, 4));
        let b = right::<G, K>(&rows::<B>(turn, instruction, 4 + A));
        let mut c = sums::<f32>(&rows::<4>(turn, instruction, 4 + A + B));
        multiply(&a, &b, &mut c);
        put(turn, instruction, &registers(&c));
        Ok(Flow::Next)
    }
}

crate::run! {
    /// Sums of f16: summed as singles, rounded once.
    fn half<F: Format<Number = f32>, G: Format<Number = f32>; const K: usize; const A: usize; const B: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let a = left::<F, K>(&rows::<A>(turn, instruction, 2));
        let b = right::<G, K>(&rows::<B>(turn, instruction, 2 + A));
        let mut c = half_sums(&rows::<2>(turn, instruction, 2 + A + B));
        multiply(&a, &b, &mut c);
        put(turn, instruction, &half_registers(&c));
        Ok(Flow::Next)
    }
}

/// Writes D and counts the operations.
#[inline(always)]
pub fn put(turn: &mut Turn<'_>, instruction: &Instruction, d: &[[u32; LANES]]) {
    for (words, slot) in d.iter().zip(turn.launch.list(instruction.list)) {
        turn.registers.row_mut(*slot).0 = *words;
    }
    turn.block.profile.tensor(turn.pc, instruction.number as u64);
}
