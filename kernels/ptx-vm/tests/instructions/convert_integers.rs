//! `cvt` between integers: every pair, with and without saturation, into registers wider than the type.

use crate::integer::{meaning, wrapped};
use crate::lanes::run;
use crate::samples::{Random, low};

/// Type, bits of it, whether it has a sign.
pub const TYPES: [(&str, u32, bool); 8] = [
    ("u8", 8, false),
    ("s8", 8, true),
    ("u16", 16, false),
    ("s16", 16, true),
    ("u32", 32, false),
    ("s32", 32, true),
    ("u64", 64, false),
    ("s64", 64, true),
];

/// Corner cases of all widths.
fn values() -> Vec<u64> {
    let mut random = Random(50);
    let mut values: Vec<u64> = [8u32, 16, 32, 64]
        .into_iter()
        .flat_map(|bits| {
            let top = 1u64 << (bits - 1);
            [
                top - 1,
                top,
                top + 1,
                top << 1,
                (top << 1).wrapping_sub(1),
                top.wrapping_neg(),
                (top + 1).wrapping_neg(),
            ]
        })
        .collect();
    values.extend([0, 1, u64::MAX]);
    values.extend((0..150).map(|_| random.number()));
    values
}

/// The narrowest register for a type.
fn natural(bits: u32) -> u32 {
    bits.max(16)
}

#[test]
fn every_pair_in_every_register() {
    let values = values();
    for (from, a, sign_a) in TYPES {
        for (to, d, sign_d) in TYPES {
            for (ra, rd) in
                [(natural(a), natural(d)), (64, 64), (32, 32), (natural(a), 64), (64, natural(d))]
            {
                if ra < a || rd < d {
                    continue;
                }
                // .sat is for results that may be out of range.
                let held = (sign_d || !sign_a) && d >= a + u32::from(sign_d && !sign_a);
                let sat = if held { "" } else { ".sat" };
                let code = format!("cvt.{to}.{from} d, a; cvt{sat}.{to}.{from} e, a;");
                let column: Vec<u64> = values.iter().map(|&x| low(x, ra)).collect();
                let registers = [format!("a:b{ra}"), format!("d:b{rd}"), format!("e:b{rd}")];
                let found = run(
                    &code,
                    &[&registers[0]],
                    std::slice::from_ref(&column),
                    &[&registers[1], &registers[2]],
                );
                for (i, x) in column.iter().enumerate() {
                    let value = meaning(low(*x, a), a, sign_a);
                    let extended = |value: i128| wrapped(meaning(wrapped(value, d), d, sign_d), rd);
                    let (least, most) = match sign_d {
                        true => (-(1i128 << (d - 1)), (1i128 << (d - 1)) - 1),
                        false => (0, (1i128 << d) - 1),
                    };
                    let expected = [extended(value), extended(value.clamp(least, most))];
                    let shown = format!("{code} registers of {ra} and {rd} bits, {x:#x}");
                    assert_eq!([found[0][i], found[1][i]], expected, "{shown}");
                }
            }
        }
    }
}
