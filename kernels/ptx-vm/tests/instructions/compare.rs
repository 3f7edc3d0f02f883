//! `setp` and `set`: every comparison of every type, combinations with a third predicate, two results.

use std::cmp::Ordering;

use crate::integer::meaning;
use crate::lanes::run;
use crate::samples::{float_pairs, integer_pairs};

/// Whether a comparison holds, given how two numbers order (`None` where one is a NaN).
fn holds(name: &str, order: Option<Ordering>) -> bool {
    use Ordering::{Equal, Greater, Less};
    let Some(order) = order else {
        return matches!(name, "equ" | "neu" | "ltu" | "leu" | "gtu" | "geu" | "nan");
    };
    match name {
        "eq" | "equ" => order == Equal,
        "ne" | "neu" => order != Equal,
        "lt" | "ltu" | "lo" => order == Less,
        "le" | "leu" | "ls" => order != Greater,
        "gt" | "gtu" | "hi" => order == Greater,
        "ge" | "geu" | "hs" => order != Less,
        "num" => true,
        _ => false,
    }
}

const ALL: [&str; 6] = ["eq", "ne", "lt", "le", "gt", "ge"];
const UNSIGNED: [&str; 4] = ["lo", "ls", "hi", "hs"];
const FLOAT: [&str; 8] = ["equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"];

/// `setp` of these comparisons, all in one kernel.
fn check(
    names: &[&str],
    kind: &str,
    register: &str,
    pairs: &[[u64; 2]],
    order: impl Fn(u64, u64) -> Option<Ordering>,
) {
    let code: String =
        names.iter().enumerate().map(|(i, n)| format!("setp.{n}.{kind} p{i}, a, b;\n")).collect();
    let results: Vec<String> = (0..names.len()).map(|i| format!("p{i}:pred")).collect();
    let results: Vec<&str> = results.iter().map(String::as_str).collect();
    let columns: Vec<Vec<u64>> = (0..2).map(|i| pairs.iter().map(|p| p[i]).collect()).collect();
    let (a, b) = (format!("a:{register}"), format!("b:{register}"));
    let found = run(&code, &[&a, &b], &columns, &results);
    for (name, column) in names.iter().zip(&found) {
        for ([x, y], p) in pairs.iter().zip(column) {
            let expected = u64::from(holds(name, order(*x, *y)));
            assert_eq!(*p, expected, "setp.{name}.{kind} {x:#x}, {y:#x}");
        }
    }
}

#[test]
fn integers() {
    for bits in [16, 32, 64] {
        let (register, pairs) = (format!("b{bits}"), integer_pairs(bits));
        for (letter, sign) in [("u", false), ("s", true)] {
            let order = |a, b| Some(meaning(a, bits, sign).cmp(&meaning(b, bits, sign)));
            check(&ALL, &format!("{letter}{bits}"), &register, &pairs, order);
        }
        let order = |a: u64, b: u64| Some(a.cmp(&b));
        check(&UNSIGNED, &format!("u{bits}"), &register, &pairs, order);
        check(&ALL[..2], &format!("b{bits}"), &register, &pairs, order);
    }
}

fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

fn flushed(bits: u64) -> f32 {
    let x = single(bits);
    if x.is_subnormal() { 0.0 } else { x }
}

/// An f16 from its parts.
pub fn f16(bits: u64) -> f64 {
    let (field, fraction) = (bits >> 10 & 31, (bits & 0x3ff) as f64);
    let magnitude = match field {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(field as i32 - 15),
    };
    if bits & 0x8000 != 0 { -magnitude } else { magnitude }
}

fn f16_flushed(bits: u64) -> f64 {
    if bits & 0x7c00 == 0 { 0.0 } else { f16(bits) }
}

/// A bf16 is the upper half of an f32.
pub fn bf16(bits: u64) -> f64 {
    f64::from(f32::from_bits((bits as u32) << 16))
}

#[test]
fn floats() {
    let names: Vec<&str> = ALL.into_iter().chain(FLOAT).collect();
    let pairs = float_pairs(8, 23, 300);
    check(&names, "f32", "f32", &pairs, |a, b| single(a).partial_cmp(&single(b)));
    check(&names, "ftz.f32", "f32", &pairs, |a, b| flushed(a).partial_cmp(&flushed(b)));
    let double = f64::from_bits;
    check(&names, "f64", "f64", &float_pairs(11, 52, 300), |a, b| {
        double(a).partial_cmp(&double(b))
    });
    let pairs = float_pairs(5, 10, 300);
    check(&names, "f16", "b16", &pairs, |a, b| f16(a).partial_cmp(&f16(b)));
    check(&names, "ftz.f16", "b16", &pairs, |a, b| f16_flushed(a).partial_cmp(&f16_flushed(b)));
    check(&names, "bf16", "b16", &float_pairs(8, 7, 300), |a, b| bf16(a).partial_cmp(&bf16(b)));
}

#[test]
fn halves_in_pairs() {
    for (kind, of, exponent) in
        [("f16x2", f16 as fn(u64) -> f64, 5), ("ftz.f16x2", f16_flushed, 5), ("bf16x2", bf16, 8)]
    {
        let halves = float_pairs(exponent, 15 - exponent, 300);
        let pairs: Vec<[u64; 2]> = halves
            .iter()
            .zip(halves.iter().rev())
            .map(|(x, y)| [x[0] | y[0] << 16, x[1] | y[1] << 16])
            .collect();
        let columns: Vec<Vec<u64>> = (0..2).map(|i| pairs.iter().map(|p| p[i]).collect()).collect();
        for name in ALL.into_iter().chain(FLOAT) {
            let whole = kind.trim_start_matches("ftz.");
            let ftz = if kind.starts_with("ftz") { ".ftz" } else { "" };
            let code = format!(
                "setp.{name}.{kind} p|q, a, b; setp.{name}.and.{kind} s|t, a, b, p;
                 set.{name}{ftz}.{whole}.{whole} d, a, b; set.{name}{ftz}.u32.{whole} e, a, b;"
            );
            let results = ["p:pred", "q:pred", "s:pred", "t:pred", "d:b32", "e:b32"];
            let found = run(&code, &["a:b32", "b:b32"], &columns, &results);
            let one = if kind == "bf16x2" { 0x3f80 } else { 0x3c00 };
            for (i, [a, b]) in pairs.iter().enumerate() {
                let half = |shift: u32| {
                    let (x, y) = (of(a >> shift & 0xffff), of(b >> shift & 0xffff));
                    u64::from(holds(name, x.partial_cmp(&y)))
                };
                let (p, q) = (half(0), half(16));
                let numbers = [one, 0xffff].map(|one| (p * one) | ((q * one) << 16));
                let expected = [p, q, p, q & p, numbers[0], numbers[1]];
                let found: Vec<u64> = found.iter().map(|column| column[i]).collect();
                assert_eq!(found, expected, "{name}.{kind} {a:#x}, {b:#x}");
            }
        }
    }
}

/// `setp.lt.OP p|q, a, b, c`: `p` from the answer, `q` from its complement.
#[test]
fn combinations_and_second_results() {
    let rows: Vec<[u64; 3]> = (0..8)
        .map(|i| [u64::from(i & 1 == 1), u64::from(i & 2 == 2), u64::from(i & 4 == 4)])
        .collect();
    let columns: Vec<Vec<u64>> = (0..3).map(|i| rows.iter().map(|r| r[i]).collect()).collect();
    let combine = |name: &str, t: bool, c: bool| match name {
        "and" => t && c,
        "or" => t || c,
        _ => t != c,
    };
    for name in ["and", "or", "xor"] {
        for not in ["", "!"] {
            let code = format!(
                "setp.lt.{name}.s32 p|q, a, b, {not}c; setp.lt.{name}.s32 _|s, a, b, {not}c;
                 setp.lt.{name}.s32 t|_, a, b, {not}c; setp.lt.s32 u|v, a, b;
                 set.lt.{name}.u32.s32 d, a, b, {not}c;"
            );
            let results = ["p:pred", "q:pred", "s:pred", "t:pred", "u:pred", "v:pred", "d:b32"];
            let found = run(&code, &["a:b32", "b:b32", "c:pred"], &columns, &results);
            for (i, [a, b, c]) in rows.iter().enumerate() {
                let (less, c) = (a < b, (*c == 1) != (not == "!"));
                let (p, q) = (combine(name, less, c), combine(name, !less, c));
                let expected = [p, q, q, p, less, !less].map(u64::from);
                let found_bits: Vec<u64> = found[..6].iter().map(|column| column[i]).collect();
                assert_eq!(found_bits, expected, "{name} {a} {b} {not}{c}");
                assert_eq!(found[6][i], if p { 0xffff_ffff } else { 0 });
            }
        }
    }
}

#[test]
fn numbers_for_answers() {
    type Case<'a> = (&'a str, &'a str, &'a str, u64, &'a [[u64; 2]]);
    let cases: [Case<'_>; 9] = [
        ("f16.u32", "b16", "b32", 0x3c00, &integer_pairs(32)),
        ("bf16.u64", "b16", "b64", 0x3f80, &integer_pairs(64)),
        ("u32.s64", "b32", "b64", 0xffff_ffff, &integer_pairs(64)),
        ("s32.u16", "b32", "b16", 0xffff_ffff, &integer_pairs(16)),
        ("f32.u32", "f32", "b32", 0x3f80_0000, &integer_pairs(32)),
        ("u16.f16", "b16", "b16", 0xffff, &float_pairs(5, 10, 100)),
        ("f16.f16", "b16", "b16", 0x3c00, &float_pairs(5, 10, 100)),
        ("bf16.bf16", "b16", "b16", 0x3f80, &float_pairs(8, 7, 100)),
        ("u32.bf16", "b32", "b16", 0xffff_ffff, &float_pairs(8, 7, 100)),
    ];
    for (kinds, d, a, one, pairs) in cases {
        let order = |x: u64, y: u64| match kinds {
            "u32.s64" => Some((x as i64).cmp(&(y as i64))),
            "u16.f16" | "f16.f16" => f16(x).partial_cmp(&f16(y)),
            "bf16.bf16" | "u32.bf16" => bf16(x).partial_cmp(&bf16(y)),
            _ => Some(x.cmp(&y)),
        };
        for name in ["lt", "ge", "ne"] {
            crate::lanes::two(&format!("set.{name}.{kinds}"), [d, a, a], pairs, |x, y| {
                if holds(name, order(x, y)) { one } else { 0 }
            });
        }
    }
    crate::lanes::two("set.gtu.ftz.f32.f32", ["f32"; 3], &float_pairs(8, 23, 100), |a, b| {
        if holds("gtu", flushed(a).partial_cmp(&flushed(b))) { 0x3f80_0000 } else { 0 }
    });
    crate::lanes::two(
        "set.leu.s32.f64",
        ["b32", "f64", "f64"],
        &float_pairs(11, 52, 100),
        |a, b| {
            let order = f64::from_bits(a).partial_cmp(&f64::from_bits(b));
            if holds("leu", order) { 0xffff_ffff } else { 0 }
        },
    );
}

/// A type that is compared: name, register, pairs of numbers, and how they order.
struct Compared {
    name: &'static str,
    register: &'static str,
    pairs: Vec<[u64; 2]>,
    order: fn(u64, u64) -> Option<Ordering>,
    names: Vec<&'static str>,
    /// What `set` can give: types with their registers and the bits of an answer that holds.
    results: &'static [(&'static str, &'static str, u64)],
}

type Results = &'static [(&'static str, &'static str, u64)];
const NUMBERS: Results = &[
    ("u32", "b32", 0xffff_ffff),
    ("s32", "b32", 0xffff_ffff),
    ("f32", "f32", 0x3f80_0000),
    ("f16", "b16", 0x3c00),
    ("bf16", "b16", 0x3f80),
];
const OF_F16: Results = &[
    ("u32", "b32", 0xffff_ffff),
    ("s32", "b32", 0xffff_ffff),
    ("u16", "b16", 0xffff),
    ("s16", "b16", 0xffff),
    ("f16", "b16", 0x3c00),
];
const OF_BF16: Results = &[
    ("u32", "b32", 0xffff_ffff),
    ("s32", "b32", 0xffff_ffff),
    ("u16", "b16", 0xffff),
    ("s16", "b16", 0xffff),
    ("bf16", "b16", 0x3f80),
];

fn compared() -> Vec<Compared> {
    let integers = |name, register, bits, sign: bool, order| {
        let pairs = integer_pairs(bits).into_iter().step_by(9).collect();
        let names = ALL.into_iter().chain(if sign { &[][..] } else { &UNSIGNED }.iter().copied());
        Compared { name, register, pairs, order, names: names.collect(), results: NUMBERS }
    };
    let unsigned = |a: u64, b: u64| Some(a.cmp(&b));
    let bits = |name, register, width| Compared {
        names: vec!["eq", "ne"],
        ..integers(name, register, width, true, unsigned)
    };
    let floats = |name, register, (exponent, fraction), order, results| Compared {
        name,
        register,
        pairs: float_pairs(exponent, fraction, 40),
        order,
        names: ALL.into_iter().chain(FLOAT).collect(),
        results,
    };
    vec![
        integers("u16", "b16", 16, false, unsigned),
        integers("u32", "b32", 32, false, unsigned),
        integers("u64", "b64", 64, false, unsigned),
        integers("s16", "b16", 16, true, |a, b| Some((a as i16).cmp(&(b as i16)))),
        integers("s32", "b32", 32, true, |a, b| Some((a as i32).cmp(&(b as i32)))),
        integers("s64", "b64", 64, true, |a, b| Some((a as i64).cmp(&(b as i64)))),
        bits("b16", "b16", 16),
        bits("b32", "b32", 32),
        bits("b64", "b64", 64),
        floats("f32", "f32", (8, 23), |a, b| single(a).partial_cmp(&single(b)), NUMBERS),
        floats("ftz.f32", "f32", (8, 23), |a, b| flushed(a).partial_cmp(&flushed(b)), NUMBERS),
        floats(
            "f64",
            "f64",
            (11, 52),
            |a, b| f64::from_bits(a).partial_cmp(&f64::from_bits(b)),
            NUMBERS,
        ),
        floats("f16", "b16", (5, 10), |a, b| f16(a).partial_cmp(&f16(b)), OF_F16),
        floats(
            "ftz.f16",
            "b16",
            (5, 10),
            |a, b| f16_flushed(a).partial_cmp(&f16_flushed(b)),
            OF_F16,
        ),
        floats("bf16", "b16", (8, 7), |a, b| bf16(a).partial_cmp(&bf16(b)), OF_BF16),
    ]
}

/// Every comparison of every type, alone and combined with a third predicate each way, as predicates and as numbers.
#[test]
fn every_form() {
    let combine = |name: &str, t: bool, c: bool| match name {
        ".and" => t && c,
        ".or" => t || c,
        ".xor" => t != c,
        _ => t,
    };
    for Compared { name: kind, register, pairs, order, names, results } in compared() {
        let (ftz, plain) = kind.strip_prefix("ftz.").map_or(("", kind), |kind| (".ftz", kind));
        for comparison in names {
            for (combination, third) in
                [("", ""), (".and", ", c"), (".or", ", !c"), (".xor", ", c")]
            {
                let half = matches!(plain, "f16" | "bf16");
                // One result of halves where there is a third predicate, two of the others.
                let to = if half { "p" } else { "p|q" };
                let mut code =
                    format!("setp.{comparison}{combination}.{kind} {to}, a, b{third};\n");
                let mut columns = vec!["p:pred".to_owned()];
                for (i, (result, class, _)) in results.iter().enumerate() {
                    code += &format!(
                        "set.{comparison}{combination}{ftz}.{result}.{plain} d{i}, a, b{third};\n"
                    );
                    columns.push(format!("d{i}:{class}"));
                }
                if !half {
                    columns.push("q:pred".to_owned());
                }
                let rows: Vec<[u64; 3]> =
                    pairs.iter().flat_map(|[a, b]| [[*a, *b, 0], [*a, *b, 1]]).collect();
                let inputs: Vec<Vec<u64>> =
                    (0..3).map(|i| rows.iter().map(|row| row[i]).collect()).collect();
                let [a, b] = ["a", "b"].map(|r| format!("{r}:{register}"));
                let names: Vec<&str> = columns.iter().map(String::as_str).collect();
                let found = run(&code, &[&a, &b, "c:pred"], &inputs, &names);
                for (i, [a, b, c]) in rows.iter().enumerate() {
                    let (answer, c) =
                        (holds(comparison, order(*a, *b)), (*c == 1) != third.contains('!'));
                    let p = combine(combination, answer, c);
                    let mut expected = vec![u64::from(p)];
                    expected.extend(results.iter().map(|(_, _, one)| if p { *one } else { 0 }));
                    if !half {
                        expected.push(u64::from(combine(combination, !answer, c)));
                    }
                    let found: Vec<u64> = found.iter().map(|column| column[i]).collect();
                    assert_eq!(
                        found, expected,
                        "{comparison}{combination}.{kind} {a:#x}, {b:#x}, {c}"
                    );
                }
            }
        }
    }
}

/// The same of two halves in a register: `p` is the lower's answer, `q` the upper's, each combined with the third.
#[test]
fn every_form_of_pairs() {
    for (kind, of, exponent, one) in [
        ("f16x2", f16 as fn(u64) -> f64, 5, 0x3c00),
        ("ftz.f16x2", f16_flushed, 5, 0x3c00),
        ("bf16x2", bf16, 8, 0x3f80u64),
    ] {
        let (ftz, plain) = kind.strip_prefix("ftz.").map_or(("", kind), |kind| (".ftz", kind));
        let halves = float_pairs(exponent, 15 - exponent, 40);
        let rows: Vec<[u64; 3]> = halves
            .iter()
            .zip(halves.iter().rev())
            .enumerate()
            .map(|(i, (x, y))| [x[0] | y[0] << 16, x[1] | y[1] << 16, i as u64 & 1])
            .collect();
        let inputs: Vec<Vec<u64>> =
            (0..3).map(|i| rows.iter().map(|row| row[i]).collect()).collect();
        for name in ALL.into_iter().chain(FLOAT) {
            for combination in ["and", "or", "xor"] {
                let code = format!(
                    "setp.{name}.{combination}.{kind} p|q, a, b, c; set.{name}.{combination}{ftz}.{plain}.{plain} d, a, b, c;
                     set.{name}.{combination}{ftz}.u32.{plain} e, a, b, c; set.{name}{ftz}.s32.{plain} f, a, b;"
                );
                let results = ["p:pred", "q:pred", "d:b32", "e:b32", "f:b32"];
                let found = run(&code, &["a:b32", "b:b32", "c:pred"], &inputs, &results);
                for (i, [a, b, c]) in rows.iter().enumerate() {
                    let half = |shift: u32| {
                        let (x, y) = (of(a >> shift & 0xffff), of(b >> shift & 0xffff));
                        holds(name, x.partial_cmp(&y))
                    };
                    let with = |answer: bool| match combination {
                        "and" => answer && *c == 1,
                        "or" => answer || *c == 1,
                        _ => answer != (*c == 1),
                    };
                    let both = |one: u64, [low, high]: [bool; 2]| {
                        (u64::from(low) * one) | ((u64::from(high) * one) << 16)
                    };
                    let plain = [half(0), half(16)];
                    let combined = plain.map(with);
                    let expected = [
                        u64::from(combined[0]),
                        u64::from(combined[1]),
                        both(one, combined),
                        both(0xffff, combined),
                        both(0xffff, plain),
                    ];
                    let found: Vec<u64> = found.iter().map(|column| column[i]).collect();
                    assert_eq!(found, expected, "{name}.{combination}.{kind} {a:#x}, {b:#x}, {c}");
                }
            }
        }
    }
}
