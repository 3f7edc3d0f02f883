//! `add sub abs neg min max sad`, expected values in 128-bit integers.

use crate::lanes::{one, three, two};
use crate::samples::{integer_pairs, integer_triples, integers, low, signed};

/// Type, bits of it, whether it has a sign, register type.
pub const TYPES: [(&str, u32, bool, &str); 6] = [
    ("u16", 16, false, "b16"),
    ("s16", 16, true, "b16"),
    ("u32", 32, false, "b32"),
    ("s32", 32, true, "b32"),
    ("u64", 64, false, "b64"),
    ("s64", 64, true, "b64"),
];

/// What the bits stand for.
pub fn meaning(bits: u64, width: u32, sign: bool) -> i128 {
    if sign { signed(bits, width) } else { i128::from(bits) }
}

/// The bits of a result, wrapped around.
pub fn wrapped(value: i128, width: u32) -> u64 {
    low(value as u64, width)
}

#[test]
fn sums_wrap_around() {
    for (name, width, sign, register) in TYPES {
        let of = |x| meaning(x, width, sign);
        let (registers, pairs) = ([register; 3], integer_pairs(width));
        two(&format!("add.{name}"), registers, &pairs, |a, b| wrapped(of(a) + of(b), width));
        two(&format!("sub.{name}"), registers, &pairs, |a, b| wrapped(of(a) - of(b), width));
    }
}

#[test]
fn saturated_sums_stay_in_range() {
    let held = |x: i128| low(x.clamp(i32::MIN.into(), i32::MAX.into()) as u64, 32);
    let pairs = integer_pairs(32);
    two("add.sat.s32", ["b32"; 3], &pairs, |a, b| held(signed(a, 32) + signed(b, 32)));
    two("sub.sat.s32", ["b32"; 3], &pairs, |a, b| held(signed(a, 32) - signed(b, 32)));
}

#[test]
fn smaller_and_larger() {
    for (name, width, sign, register) in TYPES {
        let of = |x| meaning(x, width, sign);
        let (registers, pairs) = ([register; 3], integer_pairs(width));
        two(&format!("min.{name}"), registers, &pairs, |a, b| wrapped(of(a).min(of(b)), width));
        two(&format!("max.{name}"), registers, &pairs, |a, b| wrapped(of(a).max(of(b)), width));
    }
    let pairs = integer_pairs(32);
    let of = |x| signed(x, 32);
    two("min.relu.s32", ["b32"; 3], &pairs, |a, b| wrapped(of(a).min(of(b)).max(0), 32));
    two("max.relu.s32", ["b32"; 3], &pairs, |a, b| wrapped(of(a).max(of(b)).max(0), 32));
}

#[test]
fn signs() {
    for (name, width, _, register) in TYPES.into_iter().filter(|t| t.2) {
        let values: Vec<u64> = integer_pairs(width).iter().map(|p| p[1]).collect();
        let of = |x| signed(x, width);
        one(&format!("neg.{name}"), register, register, &values, |a| wrapped(-of(a), width));
        one(&format!("abs.{name}"), register, register, &values, |a| wrapped(of(a).abs(), width));
    }
}

#[test]
fn sums_of_absolute_differences() {
    for (name, width, sign, register) in TYPES {
        let of = |x| meaning(x, width, sign);
        three(&format!("sad.{name}"), [register; 4], &integer_triples(width), |a, b, c| {
            wrapped(of(c) + (of(a) - of(b)).abs(), width)
        });
    }
}

#[test]
fn pairs_of_16_bits() {
    type Of = fn(i128, i128) -> i128;
    let cases: [(&str, bool, Of); 8] = [
        ("add.u16x2", false, |a, b| a + b),
        ("add.s16x2", true, |a, b| a + b),
        ("min.u16x2", false, |a, b| a.min(b)),
        ("max.u16x2", false, |a, b| a.max(b)),
        ("min.s16x2", true, |a, b| a.min(b)),
        ("max.s16x2", true, |a, b| a.max(b)),
        ("min.relu.s16x2", true, |a, b| a.min(b).max(0)),
        ("max.s16x2.relu", true, |a, b| a.max(b).max(0)),
    ];
    for (name, sign, of) in cases {
        two(name, ["b32"; 3], &integer_pairs(32), |a, b| {
            let half = |shift| {
                let of_half = |x: u64| meaning(low(x >> shift, 16), 16, sign);
                wrapped(of(of_half(a), of_half(b)), 16) << shift
            };
            half(0) | half(16)
        });
    }
}

#[test]
fn immediates_and_masks() {
    let values = integers(32);
    let code = "mov.b32 d, 5; setp.lt.u32 z1, a, 100; @z1 add.s32 d, a, -7; @!z1 sub.u32 d, d, 1;";
    let found = crate::lanes::run(code, &["a:b32"], std::slice::from_ref(&values), &["d:b32"]);
    for (a, d) in values.iter().zip(&found[0]) {
        let expected = if *a < 100 { wrapped(i128::from(*a) - 7, 32) } else { 4 };
        assert_eq!(*d, expected, "{a:#x}");
    }
}
