//! Products of 8-bit floats, of integers of 4 and 8 bits, of bits.

use super::{Shape, compare, f16, integer, product};
use crate::bench::refused;

const BYTES: [Shape; 3] = [
    Shape {
        name: "m8n8k16",
        rows: 8,
        depth: 16,
        packed: 4,
        left: |i, g, t| (g, t * 4 + i),
        right: |i, g, t| (t * 4 + i, g),
    },
    Shape {
        name: "m16n8k16",
        rows: 16,
        depth: 16,
        packed: 4,
        left: |i, g, t| (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3)),
        right: |i, g, t| (t * 4 + i, g),
    },
    Shape {
        name: "m16n8k32",
        rows: 16,
        depth: 32,
        packed: 4,
        left: |i, g, t| {
            let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
            (row, t * 4 + (i & 3) + if i >= 8 { 16 } else { 0 })
        },
        right: |i, g, t| (t * 4 + (i & 3) + if i >= 4 { 16 } else { 0 }, g),
    },
];

const NIBBLES: [Shape; 3] = [
    Shape {
        name: "m8n8k32",
        rows: 8,
        depth: 32,
        packed: 8,
        left: |i, g, t| (g, t * 8 + i),
        right: |i, g, t| (t * 8 + i, g),
    },
    Shape {
        name: "m16n8k32",
        rows: 16,
        depth: 32,
        packed: 8,
        left: |i, g, t| (if i < 8 { g } else { g + 8 }, t * 8 + (i & 7)),
        right: |i, g, t| (t * 8 + i, g),
    },
    Shape {
        name: "m16n8k64",
        rows: 16,
        depth: 64,
        packed: 8,
        left: |i, g, t| {
            let row = if i < 8 || (16..24).contains(&i) { g } else { g + 8 };
            (row, t * 8 + (i & 7) + if i >= 16 { 32 } else { 0 })
        },
        right: |i, g, t| (t * 8 + (i & 7) + if i >= 8 { 32 } else { 0 }, g),
    },
];

const BITS: [Shape; 3] = [
    Shape {
        name: "m8n8k128",
        rows: 8,
        depth: 128,
        packed: 32,
        left: |i, g, t| (g, t * 32 + i),
        right: |i, g, t| (t * 32 + i, g),
    },
    Shape {
        name: "m16n8k128",
        rows: 16,
        depth: 128,
        packed: 32,
        left: |i, g, t| (if i < 32 { g } else { g + 8 }, t * 32 + (i & 31)),
        right: |i, g, t| (t * 32 + i, g),
    },
    Shape {
        name: "m16n8k256",
        rows: 16,
        depth: 256,
        packed: 32,
        left: |i, g, t| {
            let row = if i < 32 || (64..96).contains(&i) { g } else { g + 8 };
            (row, t * 32 + (i & 31) + if i >= 64 { 128 } else { 0 })
        },
        right: |i, g, t| (t * 32 + (i & 31) + if i >= 32 { 128 } else { 0 }, g),
    },
];

/// Something different at every place.
fn bits(row: usize, column: usize) -> u32 {
    (row * 37 + column * 91 + row * column + 11) as u32
}

/// The lowest `width` bits as a number of type `kind` (`s8`, `u4`, ...).
fn value(kind: &str, bits: u32, width: u32) -> i32 {
    let shifted = bits << (32 - width);
    if kind.starts_with('s') {
        shifted as i32 >> (32 - width)
    } else {
        (shifted >> (32 - width)) as i32
    }
}

#[test]
fn integers_are_signed_or_not() {
    for (width, shapes, types) in [(8, BYTES, ["s8", "u8"]), (4, NIBBLES, ["s4", "u4"])] {
        for (shape, left, right) in shapes
            .iter()
            .flat_map(|shape| types.map(|left| types.map(|right| (shape, left, right))))
            .flatten()
        {
            let element = |row: usize, column: usize| bits(row, column) & ((1 << width) - 1);
            let dot = |row: usize, column: usize| -> i32 {
                let term =
                    |k| value(left, bits(row, k), width) * value(right, bits(k, column), width);
                (0..shape.depth).map(term).sum()
            };
            let c = |row: usize, _: usize| [i32::MAX - 9, i32::MIN + 9, 5][row % 3] as u32;
            for (modifier, saturated) in [("", false), (".satfinite", true)] {
                let name = shape.name;
                let text =
                    format!("mma.sync.aligned.{name}.row.col{modifier}.s32.{left}.{right}.s32");
                let found = product(&text, shape, 1, [&element, &element, &c]);
                compare(shape, &found, 1, |row, column| match saturated {
                    true => (c(row, column) as i32).saturating_add(dot(row, column)) as u32,
                    false => (c(row, column) as i32).wrapping_add(dot(row, column)) as u32,
                });
            }
        }
    }
}

#[test]
fn bits_are_counted() {
    let bit = |row: usize, column: usize| bits(row, column) / 5 % 7 % 2;
    for shape in &BITS {
        for (operation, count) in
            [("and", (|a, b| a & b) as fn(u32, u32) -> u32), ("xor", |a, b| a ^ b)]
        {
            let c = |row: usize, column: usize| (row * 1000 + column) as u32;
            let name = shape.name;
            let text = format!("mma.sync.aligned.{name}.row.col.s32.b1.b1.s32.{operation}.popc");
            let found = product(&text, shape, 1, [&bit, &bit, &c]);
            compare(shape, &found, 1, |row, column| {
                let counted = (0..shape.depth).map(|k| count(bit(row, k), bit(k, column)));
                c(row, column) + counted.sum::<u32>()
            });
        }
    }
}

/// Bits of a small integer with `fraction` bits of fraction and this bias.
fn byte(x: i32, fraction: u32, bias: u32) -> u32 {
    if x == 0 {
        return 0;
    }
    let (sign, magnitude) = (u32::from(x < 0) << 7, x.unsigned_abs());
    let exponent = magnitude.ilog2();
    let rest = (magnitude - (1 << exponent)) << fraction >> exponent;
    sign | (exponent + bias) << fraction | rest
}

fn encode(kind: &str, x: i32) -> u32 {
    if kind == "e4m3" { byte(x, 3, 7) } else { byte(x, 2, 15) }
}

#[test]
fn floats_of_eight_bits() {
    let kinds = ["e4m3", "e5m2"];
    for (shape, left, right) in BYTES[1..]
        .iter()
        .flat_map(|shape| kinds.map(|left| kinds.map(|right| (shape, left, right))))
        .flatten()
    {
        let a = |row, column| encode(left, integer(3)(row, column));
        let b = |row, column| encode(right, integer(5)(row, column));
        let sum = |row, column| super::dot(shape, row, column) + integer(9)(row, column);
        let name = format!("mma.sync.aligned.{}.row.col", shape.name);
        let c = |row, column| (integer(9)(row, column) as f32).to_bits();
        let text = format!("{name}.f32.{left}.{right}.f32");
        let found = product(&text, shape, 1, [&a, &b, &c]);
        compare(shape, &found, 1, |row, column| (sum(row, column) as f32).to_bits());
        let c = |row, column| f16(integer(9)(row, column) as f32);
        let text = format!("{name}.f16.{left}.{right}.f16");
        let found = product(&text, shape, 2, [&a, &b, &c]);
        compare(shape, &found, 2, |row, column| f16(sum(row, column) as f32));
    }
}

/// Every pattern times one.
#[test]
fn every_float_of_eight_bits() {
    let shape = &BYTES[1];
    for (kind, fraction, bias, one) in [("e4m3", 3, 7, 0x38), ("e5m2", 2, 15, 0x3c)] {
        for half in 0..2 {
            let pattern = |row: usize, k: usize| (half * 128 + row * 8 + k % 8) as u32;
            let a = |row: usize, k: usize| if k < 8 { pattern(row, k) } else { 0 };
            let b = |k: usize, column: usize| if k == column { one } else { 0 };
            // What is no finite number would spread over its row.
            let finite = |bits: u32| match kind {
                "e4m3" => bits & 0x7f != 0x7f,
                _ => bits & 0x7c != 0x7c,
            };
            let a = |row: usize, k: usize| if finite(a(row, k)) { a(row, k) } else { 0 };
            let text = format!("mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32");
            let found = product(&text, shape, 1, [&a, &b, &|_, _| 0]);
            compare(shape, &found, 1, |row, column| {
                let bits = a(row, column);
                let (field, rest) =
                    (bits >> fraction & ((1 << (7 - fraction)) - 1), bits & ((1 << fraction) - 1));
                let unit = 2f32.powi(field.max(1) as i32 - bias - fraction);
                let magnitude = (rest + (u32::from(field > 0) << fraction)) as f32 * unit;
                // Minus zero and zeros add up to zero.
                let value = if bits & 0x80 == 0 { magnitude } else { 0.0 - magnitude };
                (value + 0.0).to_bits()
            });
        }
        let a = |row: usize, _: usize| match (row, kind) {
            (1, "e4m3") => 0xff,
            (1, _) => 0x7e,
            (2, "e5m2") => 0xfc,
            _ => 0,
        };
        let text = format!("mma.sync.aligned.m16n8k16.row.col.f32.{kind}.{kind}.f32");
        let found = product(&text, shape, 1, [&a, &|_, _| one, &|_, _| 0]);
        let value = |row: usize| f32::from_bits(found[4 * row]);
        assert!(value(1).is_nan());
        assert_eq!(
            (value(0), value(2)),
            (0.0, if kind == "e5m2" { f32::NEG_INFINITY } else { 0.0 })
        );
    }
}

#[test]
fn what_there_is_not() {
    let text = |name: &str| {
        format!(
            "mma.sync.aligned.{name} {{%r10, %r11, %r12, %r13}}, {{%r0, %r1, %r2, %r3}}, {{%r4, %r5}}, {{%r10, %r11, %r12, %r13}};"
        )
    };
    for name in [
        "m16n8k32.row.col.s32.s8.s4.s32",
        "m16n8k64.row.col.s32.s8.s8.s32",
        "m16n8k256.row.col.s32.b1.b1.s32",
        "m16n8k256.row.col.s32.b1.b1.s32.xor",
        "m16n8k256.row.col.satfinite.s32.b1.b1.s32.and.popc",
        "m16n8k32.row.col.s32.s8.s8.s32.and.popc",
        "m16n8k32.row.col.satfinite.f32.e4m3.e4m3.f32",
        "m16n8k16.row.col.f32.e4m3.bf16.f32",
    ] {
        assert!(refused(&text(name)).text.contains("mma.sync"), "{name}");
    }
}
