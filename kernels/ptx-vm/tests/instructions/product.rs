//! `mul mad mul24 mad24 dp4a dp2a`, expected values in 128-bit integers.

use crate::integer::{TYPES, meaning, wrapped};
use crate::lanes::{three, two};
use crate::samples::{integer_pairs, integer_triples, low, signed};

/// The product in 256 bits is not needed: the upper half of 64 by 64 bits comes from four products of 32.
fn high(a: u64, b: u64, width: u32, sign: bool) -> u64 {
    if width < 64 {
        return wrapped((meaning(a, width, sign) * meaning(b, width, sign)) >> width, width);
    }
    let product = u128::from(a) * u128::from(b);
    let mut high = (product >> 64) as u64;
    if sign {
        high = high.wrapping_sub(if (a as i64) < 0 { b } else { 0 });
        high = high.wrapping_sub(if (b as i64) < 0 { a } else { 0 });
    }
    high
}

#[test]
fn halves_of_products() {
    for (name, width, sign, register) in TYPES {
        let pairs = integer_pairs(width);
        two(&format!("mul.lo.{name}"), [register; 3], &pairs, |a, b| low(a.wrapping_mul(b), width));
        two(&format!("mul.hi.{name}"), [register; 3], &pairs, |a, b| high(a, b, width, sign));
        let triples = integer_triples(width);
        three(&format!("mad.lo.{name}"), [register; 4], &triples, |a, b, c| {
            low(a.wrapping_mul(b).wrapping_add(c), width)
        });
        three(&format!("mad.hi.{name}"), [register; 4], &triples, |a, b, c| {
            low(high(a, b, width, sign).wrapping_add(c), width)
        });
    }
}

#[test]
fn a_saturated_sum() {
    three("mad.hi.sat.s32", ["b32"; 4], &integer_triples(32), |a, b, c| {
        let sum = signed(high(a, b, 32, true), 32) + signed(c, 32);
        wrapped(sum.clamp(i32::MIN.into(), i32::MAX.into()), 32)
    });
}

#[test]
fn wide_products() {
    for (name, width, sign, register) in TYPES.into_iter().filter(|t| t.1 < 64) {
        let of = |x| meaning(x, width, sign);
        let wide = if width == 16 { "b32" } else { "b64" };
        let pairs = integer_pairs(width);
        two(&format!("mul.wide.{name}"), [wide, register, register], &pairs, |a, b| {
            wrapped(of(a) * of(b), 2 * width)
        });
        // The addend has the width of the result.
        let triples: Vec<[u64; 3]> = integer_triples(2 * width)
            .iter()
            .map(|t| [low(t[0], width), low(t[1], width), t[2]])
            .collect();
        let registers = [wide, register, register, wide];
        three(&format!("mad.wide.{name}"), registers, &triples, |a, b, c| {
            wrapped(of(a) * of(b) + i128::from(c), 2 * width)
        });
    }
}

#[test]
fn products_of_24_bits() {
    for (name, sign) in [("u32", false), ("s32", true)] {
        let of = |x| meaning(low(x, 24), 24, sign);
        let (pairs, triples) = (integer_pairs(32), integer_triples(32));
        for (half, shift) in [("lo", 0), ("hi", 16)] {
            two(&format!("mul24.{half}.{name}"), ["b32"; 3], &pairs, |a, b| {
                wrapped((of(a) * of(b)) >> shift, 32)
            });
            three(&format!("mad24.{half}.{name}"), ["b32"; 4], &triples, |a, b, c| {
                wrapped(((of(a) * of(b)) >> shift) + i128::from(c), 32)
            });
        }
    }
    three("mad24.hi.sat.s32", ["b32"; 4], &integer_triples(32), |a, b, c| {
        let of = |x| signed(low(x, 24), 24);
        let product = signed(wrapped((of(a) * of(b)) >> 16, 32), 32);
        wrapped((product + signed(c, 32)).clamp(i32::MIN.into(), i32::MAX.into()), 32)
    });
}

/// Parts of a number of 32 bits, each with or without a sign.
fn parts(whole: u64, bits: u32, sign: bool) -> Vec<i128> {
    (0..32 / bits).map(|i| meaning(low(whole >> (bits * i), bits), bits, sign)).collect()
}

fn dot(a: &[i128], b: &[i128], c: u64) -> u64 {
    let products: i128 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    wrapped(products + i128::from(c), 32)
}

#[test]
fn dot_products() {
    for (x, sign_a) in [("u32", false), ("s32", true)] {
        for (y, sign_b) in [("u32", false), ("s32", true)] {
            let triples = integer_triples(32);
            three(&format!("dp4a.{x}.{y}"), ["b32"; 4], &triples, |a, b, c| {
                dot(&parts(a, 8, sign_a), &parts(b, 8, sign_b), c)
            });
            for (half, first) in [("lo", 0), ("hi", 2)] {
                three(&format!("dp2a.{half}.{x}.{y}"), ["b32"; 4], &triples, |a, b, c| {
                    dot(&parts(a, 16, sign_a), &parts(b, 8, sign_b)[first..], c)
                });
            }
        }
    }
}
