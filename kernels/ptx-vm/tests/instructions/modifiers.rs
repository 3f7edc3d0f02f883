//! Modifiers of `cvt` and arithmetic against the same instruction without them: what is flushed, what is held between 0
//! and 1, in every pair of types that has the modifier.

use crate::convert_integers::TYPES as INTEGERS;
use crate::lanes::run;
use crate::samples::{Random, bf16s, f16s, f32s, f64s, float, low};

/// A float type: its name, register, bits of exponent and fraction.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    register: &'static str,
    exponent: u32,
    fraction: u32,
}

const F16: Kind = Kind { name: "f16", register: "b16", exponent: 5, fraction: 10 };
const BF16: Kind = Kind { name: "bf16", register: "b16", exponent: 8, fraction: 7 };
const F32: Kind = Kind { name: "f32", register: "f32", exponent: 8, fraction: 23 };
const F64: Kind = Kind { name: "f64", register: "f64", exponent: 11, fraction: 52 };
const ROUNDINGS: [&str; 4] = ["rn", "rz", "rm", "rp"];
const INTEGRAL: [&str; 4] = ["rni", "rzi", "rmi", "rpi"];

impl Kind {
    fn values(self) -> Vec<u64> {
        let mut random = Random(70);
        let mut values = match self.name {
            "f16" => f16s(),
            "bf16" => bf16s(),
            "f32" => f32s(),
            _ => f64s(),
        };
        values.extend((0..800).map(|_| float(&mut random, self.exponent, self.fraction)));
        // Numbers around 1, and those that a narrower type rounds up to it.
        let one = self.one();
        values.extend((0..24).flat_map(|shift| [one - (1 << shift).min(one), one + (1 << shift)]));
        values.iter().map(|x| low(*x, 1 + self.exponent + self.fraction)).collect()
    }

    fn one(self) -> u64 {
        ((1 << (self.exponent - 1)) - 1) << self.fraction
    }

    fn sign(self) -> u64 {
        1 << (self.exponent + self.fraction)
    }

    fn infinity(self) -> u64 {
        ((1 << self.exponent) - 1) << self.fraction
    }

    fn is_nan(self, x: u64) -> bool {
        x & (self.sign() - 1) > self.infinity()
    }

    /// Subnormals become zeros.
    fn flushed(self, x: u64) -> u64 {
        if x & self.infinity() == 0 { x & self.sign() } else { x }
    }

    /// Between 0 and 1; NaN and -0 become 0.
    fn held(self, x: u64) -> u64 {
        match x {
            x if self.is_nan(x) || x & self.sign() != 0 => 0,
            x => x.min(self.one()),
        }
    }
}

fn converted(code: &str, from: &str, to: &str, values: &[u64]) -> Vec<u64> {
    let code = format!("{code} d, a;");
    run(&code, &[&format!("a:{from}")], &[values.to_vec()], &[&format!("d:{to}")]).remove(0)
}

/// `with` gives what `without` gives of changed sources, changed.
fn compare(
    (with, without): (&str, &str),
    (from, to): (&str, &str),
    values: &[u64],
    before: impl Fn(u64) -> u64,
    after: impl Fn(u64) -> u64,
) {
    let changed: Vec<u64> = values.iter().map(|x| before(*x)).collect();
    let plain = converted(without, from, to, &changed);
    for ((x, d), plain) in values.iter().zip(converted(with, from, to, values)).zip(plain) {
        assert_eq!(d, after(plain), "{with} {x:#x}, where {without} gives {plain:#x}");
    }
}

const fn same(x: u64) -> u64 {
    x
}

#[test]
fn integers_to_floats() {
    let mut random = Random(71);
    for (integer, bits, _) in INTEGERS {
        let mut values: Vec<u64> = (0..200).map(|_| low(random.number(), bits)).collect();
        values.extend([0, 1, 2, u64::MAX, 1 << (bits - 1)].map(|x| low(x, bits)));
        let from = format!("b{}", bits.max(16));
        for rounding in ROUNDINGS {
            for to in [F16, F32, F64] {
                let form =
                    |modifier: &str| format!("cvt.{rounding}{modifier}.{}.{integer}", to.name);
                let check = |modifier: &str, after: &dyn Fn(u64) -> u64| {
                    let forms = (&*form(modifier), &*form(""));
                    compare(forms, (&from, to.register), &values, same, after);
                };
                check(".sat", &|x| to.held(x));
                if to.name == "f32" {
                    check(".ftz", &same);
                    check(".ftz.sat", &|x| to.held(x));
                }
            }
        }
    }
}

#[test]
fn singles_to_integers() {
    let values = F32.values();
    for (integer, bits, _) in INTEGERS {
        let to = format!("b{}", bits.max(16));
        for rounding in INTEGRAL {
            let form = |modifier: &str| format!("cvt.{rounding}{modifier}.{integer}.f32");
            for (with, without) in [(".ftz", ""), (".ftz.sat", ".sat"), (".sat", "")] {
                let flush = |x| if with.contains("ftz") { F32.flushed(x) } else { x };
                compare((&form(with), &form(without)), ("f32", &to), &values, flush, same);
            }
        }
    }
}

#[test]
fn floats_to_narrower_floats() {
    for rounding in ROUNDINGS {
        for (from, to) in [(F32, F16), (F64, F16), (F64, F32), (F32, BF16)] {
            let values = from.values();
            let form =
                |modifier: &str| format!("cvt.{rounding}{modifier}.{}.{}", to.name, from.name);
            // `.ftz` is about singles, on whichever side they are.
            let before = |x| if from.name == "f32" { from.flushed(x) } else { x };
            let after = |x| if to.name == "f32" { to.flushed(x) } else { x };
            let check =
                |modifier: &str, before: &dyn Fn(u64) -> u64, after: &dyn Fn(u64) -> u64| {
                    let forms = (&*form(modifier), &*form(""));
                    compare(forms, (from.register, to.register), &values, before, after);
                };
            if to.name != "bf16" {
                check(".sat", &same, &|x| to.held(x));
            }
            if [from.name, to.name].contains(&"f32") {
                check(".ftz", &before, &after);
                if to.name != "bf16" {
                    check(".ftz.sat", &before, &|x| to.held(after(x)));
                }
            }
        }
    }
}

#[test]
fn floats_to_wider_floats() {
    for (from, to) in [(F16, F32), (F16, F64), (F32, F64), (BF16, F32), (BF16, F64)] {
        let values: Vec<u64> = from.values();
        let flush = |x| if from.name == "f32" { from.flushed(x) } else { x };
        let form = |modifier: &str| format!("cvt{modifier}.{}.{}", to.name, from.name);
        let check = |modifier: &str, before: &dyn Fn(u64) -> u64, after: &dyn Fn(u64) -> u64| {
            let forms = (&*form(modifier), &*form(""));
            compare(forms, (from.register, to.register), &values, before, after);
        };
        let after = |x| if to.name == "f32" { to.flushed(x) } else { x };
        if from.name == "bf16" {
            // Roundings that have nothing to do.
            for rounding in ROUNDINGS {
                check(&format!(".{rounding}"), &same, &same);
                if to.name == "f32" {
                    check(&format!(".{rounding}.ftz"), &same, &after);
                }
            }
        } else {
            check(".sat", &same, &|x| to.held(x));
        }
        if [from.name, to.name].contains(&"f32") {
            check(".ftz", &flush, &after);
            if from.name != "bf16" {
                check(".ftz.sat", &flush, &|x| to.held(after(x)));
            }
        }
    }
}

#[test]
fn floats_to_themselves() {
    for kind in [F16, BF16, F32, F64] {
        let values = kind.values();
        let moved =
            converted(&format!("cvt.{0}.{0}", kind.name), kind.register, kind.register, &values);
        for (x, d) in values.iter().zip(moved) {
            assert!(d == *x || kind.is_nan(*x) && kind.is_nan(d), "{} {x:#x}: {d:#x}", kind.name);
        }
        for rounding in INTEGRAL {
            let form = |modifier: &str| format!("cvt.{rounding}{modifier}.{0}.{0}", kind.name);
            let check =
                |modifier: &str, before: &dyn Fn(u64) -> u64, after: &dyn Fn(u64) -> u64| {
                    let forms = (&*form(modifier), &*form(""));
                    compare(forms, (kind.register, kind.register), &values, before, after);
                };
            if kind.name != "bf16" {
                check(".sat", &same, &|x| kind.held(x));
            }
            if kind.name == "f32" {
                check(".ftz", &|x| kind.flushed(x), &same);
                check(".ftz.sat", &|x| kind.flushed(x), &|x| kind.held(x));
            }
        }
        if kind.name != "bf16" {
            let (with, without) =
                (format!("cvt.sat.{0}.{0}", kind.name), format!("cvt.{0}.{0}", kind.name));
            let registers = (kind.register, kind.register);
            compare((&with, &without), registers, &values, same, |x| kind.held(x));
        }
    }
}

/// `.relu` makes 0 of what is negative, `.satfinite` the largest number of what is larger; NaN stays.
#[test]
fn clamped_conversions() {
    let values = F32.values();
    for to in [F16, BF16] {
        let largest = to.infinity() - 1;
        let relu = |x: u64| if !to.is_nan(x) && x & to.sign() != 0 { 0 } else { x };
        let finite = |x: u64| match x & !to.sign() {
            magnitude if magnitude == to.infinity() => largest | x & to.sign(),
            _ => x,
        };
        for rounding in ["rn", "rz"] {
            let pair: Vec<u64> = values.iter().rev().copied().collect();
            for modifier in [".relu", ".satfinite", ".satfinite.relu", ".relu.satfinite"] {
                let of = |x: u64| match (modifier.contains("relu"), modifier.contains("finite")) {
                    (true, true) => relu(finite(x)),
                    (true, false) => relu(x),
                    _ => finite(x),
                };
                let two = |modifier: &str| {
                    let code = format!("cvt.{rounding}{modifier}.{}x2.f32 d, a, b;", to.name);
                    run(&code, &["a:f32", "b:f32"], &[values.clone(), pair.clone()], &["d:b32"])
                        .remove(0)
                };
                for (with, plain) in two(modifier).into_iter().zip(two("")) {
                    let expected = of(plain & 0xffff) | of(plain >> 16) << 16;
                    assert_eq!(with, expected, "{rounding}{modifier}.{}x2: {plain:#x}", to.name);
                }
                let form = |modifier: &str| format!("cvt.{rounding}{modifier}.{}.f32", to.name);
                compare((&form(modifier), &form("")), ("f32", to.register), &values, same, of);
            }
        }
    }
    for rounding in ["rn", "rz"] {
        let form = |modifier: &str| format!("cvt.{rounding}{modifier}.tf32.f32");
        let relu = |x: u64| if !F32.is_nan(x) && x & F32.sign() != 0 { 0 } else { x };
        compare((&form(".relu"), &form("")), ("f32", "b32"), &values, same, relu);
    }
}

/// Without a rounding sums and products round to the nearest.
#[test]
fn roundings_left_out() {
    for kind in [F16, F32] {
        let (mut a, mut b) = (kind.values(), kind.values());
        a.rotate_left(3);
        b.rotate_right(7);
        for name in ["add", "sub", "mul"] {
            for modifier in ["", ".ftz", ".sat", ".ftz.sat"] {
                let of = |rounding: &str, kind_name: &str, register: &str, columns: [&[u64]; 2]| {
                    let code = format!("{name}{rounding}{modifier}.{kind_name} d, a, b;");
                    let [a, b, d] = ["a", "b", "d"].map(|r| format!("{r}:{register}"));
                    run(&code, &[&a, &b], &columns.map(<[u64]>::to_vec), &[&d]).remove(0)
                };
                let check = |kind_name: &str, register: &str, columns: [&[u64]; 2]| {
                    let [said, left_out] = [".rn", ""].map(|r| of(r, kind_name, register, columns));
                    assert_eq!(left_out, said, "{name}{modifier}.{kind_name}");
                };
                check(kind.name, kind.register, [&a, &b]);
                if kind.name == "f16" {
                    let pairs = [&a, &b].map(|x| x.iter().map(|x| x | x << 16).collect::<Vec<_>>());
                    check("f16x2", "b32", [&pairs[0], &pairs[1]]);
                }
            }
        }
    }
}
