//! `cvt` of two numbers at once: `a` goes to the upper half. Halves, eight-bit floats, packed integers.

use crate::lanes::{one, run, three, two};
use crate::samples::{Random, float_pairs, low, signed};

#[test]
fn halves() {
    let pairs = float_pairs(8, 23, 2000);
    let columns: Vec<Vec<u64>> = (0..2).map(|i| pairs.iter().map(|p| p[i]).collect()).collect();
    for kind in ["f16", "bf16"] {
        for rounding in ["rn", "rz"] {
            for modifiers in ["", ".relu", ".satfinite", ".relu.satfinite"] {
                let name = format!("cvt.{rounding}{modifiers}.{kind}");
                let code = format!("{name}x2.f32 d, a, b; {name}.f32 e, a; {name}.f32 f, b;");
                let results = ["d:b32", "e:b16", "f:b16"];
                let found = run(&code, &["a:f32", "b:f32"], &columns, &results);
                for (i, p) in pairs.iter().enumerate() {
                    // The single conversion is judged elsewhere.
                    let expected = found[1][i] << 16 | found[2][i];
                    assert_eq!(found[0][i], expected, "{code} {p:x?}");
                }
            }
        }
    }
    // Which half is which.
    two("cvt.rn.bf16x2.f32", ["b32", "f32", "f32"], &[[0x3f80_0000, 0x4000_0000]], |_, _| {
        0x3f80_4000
    });
    two("cvt.rn.f16x2.f32", ["b32", "f32", "f32"], &[[0x3f80_0000, 0x4000_0000]], |_, _| {
        0x3c00_4000
    });
}

/// An eight-bit float: fraction bits, bias, whether its largest exponent is an ordinary one (e4m3).
#[derive(Clone, Copy)]
struct Small {
    name: &'static str,
    fraction: i32,
    bias: i32,
    largest: u64,
}

const SMALL: [Small; 2] = [
    Small { name: "e4m3", fraction: 3, bias: 7, largest: 0x7e },
    Small { name: "e5m2", fraction: 2, bias: 15, largest: 0x7b },
];

impl Small {
    fn value(self, bits: u64) -> f64 {
        let magnitude = bits & 0x7f;
        let sign = if bits & 0x80 != 0 { -1.0 } else { 1.0 };
        let special = magnitude > self.largest;
        let (field, rest) =
            (magnitude as i32 >> self.fraction, magnitude as i32 & ((1 << self.fraction) - 1));
        let unit = 2f64.powi(field.max(1) - self.bias - self.fraction);
        let hidden = if field > 0 { 1 << self.fraction } else { 0 };
        match special {
            true if self.name == "e5m2" && magnitude == 0x7c => sign * f64::INFINITY,
            true => f64::NAN,
            false => sign * f64::from(rest + hidden) * unit,
        }
    }

    /// By looking at all of them: the nearest, the even one of two as near; beyond the largest the largest.
    fn nearest(self, x: f64) -> u64 {
        if x.is_nan() {
            return 0x7f;
        }
        let sign = if x.is_sign_negative() { 0x80 } else { 0 };
        let distance = |bits: u64| (self.value(bits) - x.abs()).abs();
        let closest = (0..=self.largest)
            .min_by(|&i, &j| distance(i).total_cmp(&distance(j)).then((i & 1).cmp(&(j & 1))));
        let beyond = x.abs() >= self.value(self.largest);
        sign | if beyond { self.largest } else { closest.expect("some are") }
    }
}

#[test]
fn singles_to_eight_bits() {
    let mut random = Random(70);
    let mut pairs = float_pairs(8, 23, 200);
    // Where the formats' numbers and the points half way between them lie.
    pairs.extend((0..600).map(|_| {
        let mut draw = || {
            let scale = 2f32.powi((random.next() % 36) as i32 - 20);
            let steps = (random.next() % 64) as f32 / 32.0;
            let sign = if random.next().is_multiple_of(2) { 1.0 } else { -1.0 };
            u64::from((sign * scale * steps).to_bits())
        };
        [draw(), draw()]
    }));
    let single = |bits: u64| f64::from(f32::from_bits(bits as u32));
    for small in SMALL {
        let name = small.name;
        two(&format!("cvt.rn.satfinite.{name}x2.f32"), ["b16", "f32", "f32"], &pairs, |a, b| {
            small.nearest(single(a)) << 8 | small.nearest(single(b))
        });
        two(
            &format!("cvt.rn.satfinite.relu.{name}x2.f32"),
            ["b16", "f32", "f32"],
            &pairs,
            |a, b| {
                let of =
                    |x: f64| if x.is_sign_negative() && !x.is_nan() { 0 } else { small.nearest(x) };
                of(single(a)) << 8 | of(single(b))
            },
        );
    }
}

/// An f16 with the value of an eight-bit float, which it always has.
fn f16_of(x: f64) -> u64 {
    if x.is_nan() {
        return 0x7fff;
    }
    (0..0x7c01u64).find(|&bits| crate::compare::f16(bits) == x.abs()).expect("an f16")
        | if x.is_sign_negative() { 0x8000 } else { 0 }
}

#[test]
fn between_halves_and_eight_bits() {
    let all: Vec<u64> = (0..256).map(|x| x << 8 | (x ^ 0x55)).collect();
    for small in SMALL {
        let name = small.name;
        let halves: Vec<u64> = (0..256).map(|x| f16_of(small.value(x))).collect();
        let widened = |x: u64| halves[(x >> 8) as usize] << 16 | halves[(x & 0xff) as usize];
        one(&format!("cvt.rn.f16x2.{name}x2"), "b32", "b16", &all, widened);
        one(&format!("cvt.rn.relu.f16x2.{name}x2"), "b32", "b16", &all, |x| {
            let clamped = |h: u64| if h & 0x8000 != 0 { 0 } else { h };
            clamped(widened(x) >> 16) << 16 | clamped(widened(x) & 0xffff)
        });
        let mut random = Random(71);
        let pairs: Vec<u64> = (0..1500).map(|_| low(random.next(), 32)).collect();
        one(&format!("cvt.rn.satfinite.{name}x2.f16x2"), "b16", "b32", &pairs, |x| {
            let of = |h: u64| small.nearest(crate::compare::f16(h));
            of(x >> 16) << 8 | of(x & 0xffff)
        });
    }
}

#[test]
fn packed_integers() {
    let mut random = Random(72);
    let triples: Vec<[u64; 3]> = (0..1000)
        .map(|_| {
            let mut draw = || low((random.next() as i64 >> (random.next() % 60)) as u64, 32);
            [draw(), draw(), draw()]
        })
        .collect();
    let pairs: Vec<[u64; 2]> = triples.iter().map(|t| [t[0], t[1]]).collect();
    let small = |x: u64, bits: u32, sign: bool| {
        let (least, most) = match sign {
            true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
            false => (0, (1i128 << bits) - 1),
        };
        low(signed(x, 32).clamp(least, most) as u64, bits)
    };
    for (letter, sign) in [("u", false), ("s", true)] {
        two(&format!("cvt.pack.sat.{letter}16.s32"), ["b32"; 3], &pairs, |a, b| {
            small(a, 16, sign) << 16 | small(b, 16, sign)
        });
        for bits in [8, 4, 2] {
            three(
                &format!("cvt.pack.sat.{letter}{bits}.s32.b32"),
                ["b32"; 4],
                &triples,
                |a, b, c| {
                    let pair = small(a, bits, sign) << bits | small(b, bits, sign);
                    low(c << (2 * bits), 32) | pair
                },
            );
        }
    }
}
