//! `cvt` from and to floats: every pair of types and every rounding, judged by the definition of rounding.

use std::cmp::Ordering;

use crate::convert_integers::TYPES as INTEGERS;
use crate::float::{NAN, WIDE_NAN, flushed};
use crate::integer::{meaning, wrapped};
use crate::lanes::{one, run};
use crate::rounding::{BF16, Dyadic, F16, F32, F64, Format, MODES, Mode, TF32, sign_of_sum};
use crate::samples::{Random, bf16s, f16s, f32s, f64s, float, low};

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    format: Format,
    nan: u64,
    register: &'static str,
}

const KINDS: [Kind; 4] = [
    Kind { name: "f16", format: F16, nan: 0x7fff, register: "b16" },
    Kind { name: "bf16", format: BF16, nan: 0x7fff, register: "b16" },
    Kind { name: "f32", format: F32, nan: NAN, register: "f32" },
    Kind { name: "f64", format: F64, nan: WIDE_NAN, register: "f64" },
];

/// Roundings to an integer.
const INTEGRAL: [(&str, Mode); 4] =
    [("rni", Mode::Nearest), ("rzi", Mode::Zero), ("rmi", Mode::Down), ("rpi", Mode::Up)];

/// Corner cases of all formats as numbers of this one, and random ones.
fn values(kind: Kind) -> Vec<u64> {
    let Format { exponent_bits, fraction_bits } = kind.format;
    let mut random = Random(60);
    let mut values = match kind.name {
        "f16" => f16s(),
        "bf16" => bf16s(),
        "f32" => f32s(),
        _ => f64s(),
    };
    values.extend((0..1500).map(|_| float(&mut random, exponent_bits, fraction_bits)));
    // Around the limits of integers and of the smaller formats, and half way between integers.
    let around = [
        0.25,
        0.5,
        0.75,
        1.5,
        2.5,
        126.5,
        127.5,
        128.0,
        255.5,
        32767.5,
        65519.0,
        65520.0,
        65535.5,
        2147483647.0,
        2147483648.0,
        4294967295.0,
        4294967296.0,
        9.223372036854775e18,
        9.223372036854776e18,
        1.8446744073709552e19,
        3.3895e38,
        3.4028235e38,
        5.9e-8,
        2.9e-8,
        6.1e-5,
        1.17549435e-38,
        4.6e-41,
    ];
    for x in around {
        let near = match kind.name {
            "f32" => u64::from((x as f32).to_bits()),
            "f64" => f64::to_bits(x),
            "bf16" => u64::from((x as f32).to_bits() >> 16),
            _ => continue,
        };
        for step in 0..3u64 {
            let sign = 1 << (exponent_bits + fraction_bits);
            let below = near.saturating_sub(step);
            values.extend([near + step, below, (near + step) | sign, below | sign]);
        }
    }
    values
}

fn sign_bit(format: Format) -> u64 {
    1 << (format.exponent_bits + format.fraction_bits)
}

/// Whether `d` is `x` in another format.
fn right(from: Kind, to: Format, nan: u64, mode: Mode, x: u64, d: u64) -> bool {
    let sign = if x & sign_bit(from.format) != 0 { sign_bit(to) } else { 0 };
    match x {
        x if from.format.is_nan(x) => d == nan,
        x if from.format.is_infinite(x) => d == to.infinity() | sign,
        x if from.format.is_zero(x) => d == sign,
        x => {
            let exact = |v: Dyadic| sign_of_sum(&[from.format.value(x), v.minus()]);
            to.is_rounded(d, mode, exact)
        }
    }
}

/// A format that does not hold all of another's numbers.
fn narrower(to: Format, from: Format) -> bool {
    to.exponent_bits < from.exponent_bits || to.fraction_bits < from.fraction_bits
}

#[test]
fn floats_to_floats() {
    for from in KINDS {
        let values = values(from);
        for to in KINDS.into_iter().filter(|to| to.name != from.name) {
            let modes: &[(&str, Mode)] = match narrower(to.format, from.format) {
                true => &MODES,
                false => &[("", Mode::Nearest)],
            };
            for (rounding, mode) in modes {
                let dot = if rounding.is_empty() { "" } else { "." };
                let code = format!("cvt{dot}{rounding}.{}.{} d, a;", to.name, from.name);
                let (a, d) = (format!("a:{}", from.register), format!("d:{}", to.register));
                let found = run(&code, &[&a], std::slice::from_ref(&values), &[&d]).remove(0);
                for (&x, d) in values.iter().zip(found) {
                    // A bf16 is shifted into an f32, its NaNs too.
                    let shifted = (from.name, to.name) == ("bf16", "f32") && d == x << 16;
                    let fits = shifted || right(from, to.format, to.nan, *mode, x, d);
                    assert!(fits, "{code} {x:#x}: {d:#x}");
                }
            }
        }
    }
}

/// A rounding that changes nothing, which the manual's examples have.
#[test]
fn roundings_of_exact_results() {
    let values = bf16s();
    for (to, register) in [("f32", "f32"), ("f64", "f64")] {
        let code = format!("cvt.rp.{to}.bf16 d, a; cvt.{to}.bf16 e, a;");
        let results = [&*format!("d:{register}"), &format!("e:{register}")];
        let found = run(&code, &["a:b16"], std::slice::from_ref(&values), &results);
        assert_eq!(found[0], found[1], "{code}");
    }
}

#[test]
fn flushes_between_single_and_double() {
    let (singles, doubles) = (values(KINDS[2]), values(KINDS[3]));
    let plain = run(
        "cvt.f64.f32 d, a;",
        &["a:f32"],
        &[singles.iter().map(|&x| flushed(x)).collect()],
        &["d:f64"],
    )
    .remove(0);
    let ftz = run("cvt.ftz.f64.f32 d, a;", &["a:f32"], &[singles], &["d:f64"]).remove(0);
    assert_eq!(plain, ftz);
    for (rounding, _) in MODES {
        let code = |ftz: &str| format!("cvt.{rounding}{ftz}.f32.f64 d, a;");
        let plain =
            run(&code(""), &["a:f64"], std::slice::from_ref(&doubles), &["d:f32"]).remove(0);
        let ftz =
            run(&code(".ftz"), &["a:f64"], std::slice::from_ref(&doubles), &["d:f32"]).remove(0);
        assert_eq!(plain.into_iter().map(flushed).collect::<Vec<_>>(), ftz, "{rounding}");
    }
}

#[test]
fn integers_to_floats() {
    let mut random = Random(61);
    for (from, bits, sign) in INTEGERS {
        let mut values: Vec<u64> = (0..400).map(|_| low(random.number(), bits)).collect();
        let top = 1u64 << (bits - 1);
        values.extend([0, 1, top - 1, top, top + 1, u64::MAX].map(|x| low(x, bits)));
        for to in KINDS.into_iter().filter(|to| bits > 8 || to.name != "bf16") {
            for (rounding, mode) in MODES {
                let code = format!("cvt.{rounding}.{}.{from} d, a;", to.name);
                let (a, d) = (format!("a:b{}", bits.max(16)), format!("d:{}", to.register));
                let found = run(&code, &[&a], std::slice::from_ref(&values), &[&d]).remove(0);
                for (&x, d) in values.iter().zip(found) {
                    let value = Dyadic { m: meaning(x, bits, sign), e: 0 };
                    let right = match value.m {
                        0 => d == 0,
                        _ => to.format.is_rounded(d, mode, |v| sign_of_sum(&[value, v.minus()])),
                    };
                    assert!(right, "{code} {x:#x}: {d:#x}");
                }
            }
        }
    }
}

/// The integer a float rounds to; `None` beyond 2^100.
fn rounded(value: Dyadic, mode: Mode) -> Option<i128> {
    let Dyadic { m, e } = value;
    if e >= 0 {
        return (e < 60).then(|| m << e);
    }
    // Below one half of anything.
    if e < -100 {
        return Some(match (mode, m.cmp(&0)) {
            (Mode::Up, Ordering::Greater) => 1,
            (Mode::Down, Ordering::Less) => -1,
            _ => 0,
        });
    }
    let floor = m >> -e;
    let rest = m - (floor << -e);
    let half = 1i128 << (-e - 1);
    Some(match mode {
        Mode::Down => floor,
        Mode::Up => floor + i128::from(rest > 0),
        Mode::Zero => floor + i128::from(rest > 0 && m < 0),
        _ => floor + i128::from(rest > half || (rest == half && floor & 1 == 1)),
    })
}

/// Too large a number gives the largest, NaN 0, or the bit of the sign if 64 bits take part.
#[test]
fn floats_to_integers() {
    for from in KINDS {
        let values = values(from);
        for (to, bits, sign) in INTEGERS {
            for (rounding, mode) in INTEGRAL {
                let bfloat = from.name == "bf16";
                for sat in &["", ".sat"][..if bfloat { 1 } else { 2 }] {
                    let code = format!("cvt.{rounding}{sat}.{to}.{} d, a;", from.name);
                    let register = bits.max(16);
                    let (a, d) = (format!("a:{}", from.register), format!("d:b{register}"));
                    let found = run(&code, &[&a], std::slice::from_ref(&values), &[&d]).remove(0);
                    let (least, most) = match sign {
                        true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
                        false => (0, (1i128 << bits) - 1),
                    };
                    for (&x, d) in values.iter().zip(found) {
                        let negative = x & sign_bit(from.format) != 0;
                        let beyond = if negative { least } else { most };
                        let value = match x {
                            x if from.format.is_nan(x) => {
                                let wide = from.name == "f64" || bits == 64;
                                let top = 1i128 << (bits - 1);
                                if wide { if sign { -top } else { top } } else { 0 }
                            }
                            x if from.format.is_infinite(x) => beyond,
                            x => rounded(from.format.value(x), mode)
                                .unwrap_or(beyond)
                                .clamp(least, most),
                        };
                        assert_eq!(d, wrapped(value, register), "{code} {x:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn subnormals_flushed_before_rounding_to_integers() {
    let values = f32s();
    for (rounding, mode) in INTEGRAL {
        for (to, sign) in [("s32", true), ("u32", false), ("s16", true)] {
            let register = if to == "s16" { "b16" } else { "b32" };
            let plain = run(
                &format!("cvt.{rounding}.{to}.f32 d, a;"),
                &["a:f32"],
                &[values.iter().map(|&x| flushed(x)).collect()],
                &[&format!("d:{register}")],
            )
            .remove(0);
            let ftz = run(
                &format!("cvt.{rounding}.ftz.{to}.f32 d, a;"),
                &["a:f32"],
                std::slice::from_ref(&values),
                &[&format!("d:{register}")],
            )
            .remove(0);
            assert_eq!(plain, ftz, "{rounding} {to}");
            // The flush shows: one step above zero is nothing, not one.
            if mode == Mode::Up && sign {
                assert_eq!(ftz[values.iter().position(|&x| x == 1).expect("a corner case")], 0);
            }
        }
    }
}

/// Floats that are integers, in the same format.
#[test]
fn integral_floats() {
    for kind in KINDS {
        let values = values(kind);
        for (rounding, mode) in INTEGRAL {
            let code = format!("cvt.{rounding}.{0}.{0} d, a;", kind.name);
            let (a, d) = (format!("a:{}", kind.register), format!("d:{}", kind.register));
            let found = run(&code, &[&a], std::slice::from_ref(&values), &[&d]).remove(0);
            for (&x, d) in values.iter().zip(found) {
                let format = kind.format;
                let shown = format!("{code} {x:#x}: {d:#x}");
                if format.is_nan(x) {
                    assert_eq!(d, kind.nan, "{shown}");
                    continue;
                }
                let value = format.value(x);
                let integer = if format.is_infinite(x) { None } else { rounded(value, mode) };
                match integer {
                    // Already an integer.
                    None => assert_eq!(d, x, "{shown}"),
                    Some(integer) => {
                        let result = format.value(d);
                        let same = sign_of_sum(&[Dyadic { m: integer, e: 0 }, result.minus()]);
                        assert!(
                            same.is_eq() && d & sign_bit(format) == x & sign_bit(format),
                            "{shown}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn held_between_zero_and_one() {
    let saturated = |x: u64| match f32::from_bits(x as u32) {
        v if v >= 1.0 => 0x3f80_0000,
        v if v > 0.0 => x,
        _ => 0,
    };
    let values = values(KINDS[2]);
    one("cvt.sat.f32.f32", "f32", "f32", &values, saturated);
    one("cvt.ftz.sat.f32.f32", "f32", "f32", &values, |x| saturated(flushed(x)));
    one("cvt.ftz.f32.f32", "f32", "f32", &values, |x| if F32.is_nan(x) { NAN } else { flushed(x) });
    one("cvt.rzi.sat.f32.f32", "f32", "f32", &values, |x| {
        if f32::from_bits(x as u32) >= 1.0 { 0x3f80_0000 } else { 0 }
    });
    let halves = f16s();
    one("cvt.rn.sat.f16.f32", "b16", "f32", &values, |x| match f32::from_bits(x as u32) {
        v if v >= 1.0 => 0x3c00,
        v if v > 0.0 => {
            let d = run("cvt.rn.f16.f32 d, a;", &["a:f32"], &[vec![x]], &["d:b16"]);
            d[0][0]
        }
        _ => 0,
    });
    assert!(halves.len() > 30);
    one("cvt.sat.f64.f64", "f64", "f64", &f64s(), |x| match f64::from_bits(x) {
        v if v >= 1.0 => 1f64.to_bits(),
        v if v > 0.0 => x,
        _ => 0,
    });
}

/// A tf32 lies in the upper 19 bits of 32.
#[test]
fn tf32() {
    let values = values(KINDS[2]);
    for (name, mode) in [("rna", Mode::Away), ("rn", Mode::Nearest), ("rz", Mode::Zero)] {
        let code = format!("cvt.{name}.tf32.f32 d, a;");
        let found = run(&code, &["a:f32"], std::slice::from_ref(&values), &["d:b32"]).remove(0);
        for (&x, d) in values.iter().zip(found) {
            assert_eq!(d & 0x1fff, 0, "{code} {x:#x}");
            assert!(right(KINDS[2], TF32, 0x3ffff, mode, x, d >> 13), "{code} {x:#x}: {d:#x}");
        }
    }
    let limited = run(
        "cvt.rna.satfinite.tf32.f32 d, a; cvt.rn.relu.tf32.f32 e, a;",
        &["a:f32"],
        &[vec![0x7f7f_ffff, 0x7f80_0000, 0xff80_0000, 0xbf80_0000]],
        &["d:b32", "e:b32"],
    );
    assert_eq!(limited[0], [0x7f7f_e000, 0x7f7f_e000, 0xff7f_e000, 0xbf80_0000]);
    assert_eq!(limited[1], [0x7f80_0000, 0x7f80_0000, 0, 0]);
}

#[test]
fn limited_and_clamped_halves() {
    let values = values(KINDS[2]);
    for kind in &KINDS[..2] {
        for rounding in ["rn", "rz"] {
            let of = |modifiers: &str| {
                let code = format!("cvt.{rounding}{modifiers}.{}.f32 d, a;", kind.name);
                run(&code, &["a:f32"], std::slice::from_ref(&values), &["d:b16"]).remove(0)
            };
            let (plain, relu) = (of(""), of(".relu"));
            let infinity = kind.format.infinity();
            for (i, d) in plain.iter().enumerate() {
                let clamped = if *d & 0x8000 != 0 { 0 } else { *d };
                assert_eq!(relu[i], clamped, "{rounding} {} {:#x}", kind.name, values[i]);
            }
            let satfinite = of(".satfinite");
            for (i, d) in plain.iter().enumerate() {
                let limited = if *d & 0x7fff == infinity { d - 1 } else { *d };
                assert_eq!(satfinite[i], limited, "{rounding} {} {:#x}", kind.name, values[i]);
            }
        }
    }
}
