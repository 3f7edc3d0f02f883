//! `mma.sync` of integers of 8 and 4 bits and of single bits.

use super::aligned::{rows, whole_warp};
use super::fragments::{
    Bit, Format, Nibble, Signed, SignedNibble, Spin, Unsigned, left, multiply, registers, right,
    sums,
};
use super::mma::{Product, put};
use crate::program::{Instruction, Run};
use crate::shapes::Host;
use crate::turn::Flow;

/// `detail`: sums are held at the ends of their range.
const SATURATED: u32 = 1;
/// `detail`: bits that differ are counted; A and B hold 1 and -1.
const DIFFERENT: u32 = 2;

/// How bits are multiplied; `popc` counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    And,
    Xor,
}

/// The product of a shape and types of A and B, if there is one.
pub fn pick(
    host: Host,
    shape: &str,
    [a, b]: [&str; 2],
    bits: Option<Bits>,
    saturated: bool,
) -> Option<Product> {
    let product = |rows, depth, counts, run: Option<Run>| {
        let detail = if saturated { SATURATED } else { 0 };
        let detail = detail | if bits == Some(Bits::Xor) { DIFFERENT } else { 0 };
        Some(Product { rows, depth, counts, run: run?, detail })
    };
    if let Some(bits) = bits {
        if (a, b, saturated) != ("b1", "b1", false) {
            return None;
        }
        return match shape {
            "m8n8k128" => product(8, 128, [1, 1, 2], Some(binary::<128, 1, 1, 2>(host, bits))),
            "m16n8k128" => product(16, 128, [2, 1, 4], Some(binary::<128, 2, 1, 4>(host, bits))),
            "m16n8k256" => product(16, 256, [4, 2, 4], Some(binary::<256, 4, 2, 4>(host, bits))),
            _ => None,
        };
    }
    match (shape, a) {
        ("m8n8k16", "s8" | "u8") => product(8, 16, [1, 1, 2], bytes::<16, 1, 1, 2>(host, a, b)),
        ("m16n8k16", "s8" | "u8") => product(16, 16, [2, 1, 4], bytes::<16, 2, 1, 4>(host, a, b)),
        ("m16n8k32", "s8" | "u8") => product(16, 32, [4, 2, 4], bytes::<32, 4, 2, 4>(host, a, b)),
        ("m8n8k32", "s4" | "u4") => product(8, 32, [1, 1, 2], nibbles::<32, 1, 1, 2>(host, a, b)),
        ("m16n8k32", "s4" | "u4") => product(16, 32, [2, 1, 4], nibbles::<32, 2, 1, 4>(host, a, b)),
        ("m16n8k64", "s4" | "u4") => product(16, 64, [4, 2, 4], nibbles::<64, 4, 2, 4>(host, a, b)),
        _ => None,
    }
}

macro_rules! mixed {
    ($name:ident: $signed:literal $with:ty, $unsigned:literal $without:ty) => {
        fn $name<const K: usize, const A: usize, const B: usize, const C: usize>(
            host: Host,
            a: &str,
            b: &str,
        ) -> Option<Run> {
            Some(match (a, b) {
                ($signed, $signed) => integers::<$with, $with, K, A, B, C>(host),
                ($signed, $unsigned) => integers::<$with, $without, K, A, B, C>(host),
                ($unsigned, $signed) => integers::<$without, $with, K, A, B, C>(host),
                ($unsigned, $unsigned) => integers::<$without, $without, K, A, B, C>(host),
                _ => return None,
            })
        }
    };
}

mixed!(bytes: "s8" Signed, "u8" Unsigned);
mixed!(nibbles: "s4" SignedNibble, "u4" Nibble);

fn binary<const K: usize, const A: usize, const B: usize, const C: usize>(
    host: Host,
    bits: Bits,
) -> Run {
    match bits {
        Bits::And => integers::<Bit, Bit, K, A, B, C>(host),
        Bits::Xor => integers::<Spin, Spin, K, A, B, C>(host),
    }
}

crate::run! {
    /// Products of eight rows (two registers of C) are half of one of sixteen.
    fn integers<F: Format<Number = i32>, G: Format<Number = i32>; const K: usize; const A: usize; const B: usize; const C: usize>(turn, instruction, mask) {
        if let Some(flow) = whole_warp(turn, mask)? {
            return Ok(flow);
        }
        let a = left::<F, K>(&rows::<A>(turn, instruction, C));
        let b = right::<G, K>(&rows::<B>(turn, instruction, C + A));
        let words = rows::<C>(turn, instruction, C + A + B);
        let c = sums::<i32>(&std::array::from_fn(|i| words.get(i).copied().unwrap_or_default()));
        let mut products = [[0; 8]; 16];
        multiply(&a, &b, &mut products);
        add::<K>(instruction, &c, &mut products);
        put(turn, instruction, &registers(&products)[..C]);
        Ok(Flow::Next)
    }
}

/// What becomes of the products and C.
#[inline(always)]
fn add<const K: usize>(
    instruction: &Instruction,
    c: &[[i32; 8]; 16],
    products: &mut [[i32; 8]; 16],
) {
    for (product, &c) in products.iter_mut().flatten().zip(c.iter().flatten()) {
        // Of K pairs of 1 and -1 the sum is those alike less those that differ.
        if instruction.detail & DIFFERENT != 0 {
            *product = (K as i32 - *product) / 2;
        }
        *product = match instruction.detail & SATURATED {
            0 => c.wrapping_add(*product),
            _ => c.saturating_add(*product),
        };
    }
}
