//! `min max` of f32 and f64, all modifiers, as the manual's pseudocode has them.

use crate::float::{NAN, WIDE_NAN, flushed};
use crate::lanes::{three, two};
use crate::samples::{float_pairs, float_triples};

/// Which of two numbers, in a total order of all but NaNs: by sign, then magnitude.
fn order(bits: u64, width: u32) -> i128 {
    let sign = 1u64 << (width - 1);
    let magnitude = i128::from(bits & (sign - 1));
    if bits & sign != 0 { -magnitude - 1 } else { magnitude }
}

fn is_nan(bits: u64, width: u32) -> bool {
    match width {
        32 => f32::from_bits(bits as u32).is_nan(),
        _ => f64::from_bits(bits).is_nan(),
    }
}

/// The manual's `min_num` and `max_num`.
fn choose(least: bool, width: u32, nan: u64, a: u64, b: u64) -> u64 {
    match (is_nan(a, width), is_nan(b, width)) {
        (true, true) => nan,
        (true, false) => b,
        (false, true) => a,
        _ if (order(a, width) <= order(b, width)) == least => a,
        _ => b,
    }
}

#[test]
fn plain() {
    let (singles, doubles) = (float_pairs(8, 23, 1000), float_pairs(11, 52, 1000));
    for (name, least) in [("min", true), ("max", false)] {
        two(&format!("{name}.f32"), ["f32"; 3], &singles, |a, b| choose(least, 32, NAN, a, b));
        two(&format!("{name}.f64"), ["f64"; 3], &doubles, |a, b| choose(least, 64, WIDE_NAN, a, b));
        two(&format!("{name}.ftz.f32"), ["f32"; 3], &singles, |a, b| {
            choose(least, 32, NAN, flushed(a), flushed(b))
        });
    }
}

#[test]
fn nan_passes_and_signs_combine() {
    let pairs = float_pairs(8, 23, 1000);
    let sign = 0x8000_0000;
    for (name, least) in [("min", true), ("max", false)] {
        for ftz in [false, true] {
            let flush = |x: u64| if ftz { flushed(x) } else { x };
            let f = if ftz { ".ftz" } else { "" };
            let with_nan = |a: u64, b: u64| match is_nan(a, 32) || is_nan(b, 32) {
                true => NAN,
                false => choose(least, 32, NAN, a, b),
            };
            two(&format!("{name}{f}.NaN.f32"), ["f32"; 3], &pairs, |a, b| {
                with_nan(flush(a), flush(b))
            });
            let combined = |choice: u64, a: u64, b: u64| match is_nan(choice, 32) {
                true => choice,
                false => choice | ((a ^ b) & sign),
            };
            two(&format!("{name}{f}.xorsign.abs.f32"), ["f32"; 3], &pairs, |a, b| {
                let (x, y) = (flush(a) & !sign, flush(b) & !sign);
                combined(choose(least, 32, NAN, x, y), a, b)
            });
            two(&format!("{name}{f}.NaN.xorsign.abs.f32"), ["f32"; 3], &pairs, |a, b| {
                combined(with_nan(flush(a) & !sign, flush(b) & !sign), a, b)
            });
        }
    }
}

#[test]
fn of_three() {
    let triples = float_triples(8, 23, 2000);
    let sign = 0x8000_0000;
    for (name, least) in [("min", true), ("max", false)] {
        let of = |a, b| choose(least, 32, NAN, a, b);
        three(&format!("{name}.f32"), ["f32"; 4], &triples, |a, b, c| of(of(a, b), c));
        three(&format!("{name}.ftz.abs.f32"), ["f32"; 4], &triples, |a, b, c| {
            let [a, b, c] = [a, b, c].map(|x| flushed(x) & !sign);
            of(of(a, b), c)
        });
        three(&format!("{name}.NaN.f32"), ["f32"; 4], &triples, |a, b, c| {
            match [a, b, c].into_iter().any(|x| is_nan(x, 32)) {
                true => NAN,
                false => of(of(a, b), c),
            }
        });
    }
}
