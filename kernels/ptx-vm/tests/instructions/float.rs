//! `add sub mul fma mad abs neg` of f32 and f64 in every rounding: finite results are judged by the definition of
//! rounding, the rest by IEEE 754's rules of infinities, NaNs and zeros written out.

use crate::lanes::{one, run};
use crate::rounding::{Dyadic, F32, F64, Format, MODES, Mode, sign_of_sum};
use crate::samples::{f32s, f64s, float_triples};

/// The NaN of f32 results, and of f64 results.
pub const NAN: u64 = 0x7fff_ffff;
pub const WIDE_NAN: u64 = 0xfff8_0000_0000_0000;

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    format: Format,
    nan: u64,
}

const KINDS: [Kind; 2] =
    [Kind { name: "f32", format: F32, nan: NAN }, Kind { name: "f64", format: F64, nan: WIDE_NAN }];

fn sign_bit(format: Format) -> u64 {
    1 << (format.exponent_bits + format.fraction_bits)
}

/// What a sum of terms has to be where no rounding comes in: with infinities, NaNs, or nothing but zeros.
/// `terms` are numbers or, for a product, two of them.
fn special(
    format: Format,
    nan: u64,
    mode: Mode,
    product: Option<[u64; 2]>,
    terms: &[u64],
) -> Option<u64> {
    let sign = sign_bit(format);
    let mut infinite = Vec::new();
    let mut zeros = Vec::new();
    let mut finite = 0;
    if let Some([a, b]) = product {
        if format.is_nan(a) || format.is_nan(b) {
            return Some(nan);
        }
        let negative = (a ^ b) & sign;
        match (
            format.is_infinite(a) || format.is_infinite(b),
            format.is_zero(a) || format.is_zero(b),
        ) {
            (true, true) => return Some(nan),
            (true, false) => infinite.push(negative),
            (false, true) => zeros.push(negative),
            _ => finite += 1,
        }
    }
    for &x in terms {
        match x {
            x if format.is_nan(x) => return Some(nan),
            x if format.is_infinite(x) => infinite.push(x & sign),
            x if format.is_zero(x) => zeros.push(x & sign),
            _ => finite += 1,
        }
    }
    if let Some(&first) = infinite.first() {
        let alike = infinite.iter().all(|&s| s == first);
        return Some(if alike { first | format.infinity() } else { nan });
    }
    if finite > 0 {
        return None;
    }
    let first = zeros[0];
    let opposite = if mode == Mode::Down { sign } else { 0 };
    Some(if zeros.iter().all(|&s| s == first) { first } else { opposite })
}

/// Whether `d` is right for the sum of a product, if there is one, and further terms.
fn right(kind: Kind, mode: Mode, product: Option<[u64; 2]>, terms: &[u64], d: u64) -> bool {
    let Kind { format, nan, .. } = kind;
    if let Some(bits) = special(format, nan, mode, product, terms) {
        return d == bits;
    }
    let mut exact: Vec<Dyadic> = terms.iter().map(|&x| format.value(x)).collect();
    if let Some([a, b]) = product {
        exact.push(format.value(a).times(format.value(b)));
    }
    let compare = |x: Dyadic| {
        let mut all = exact.clone();
        all.push(x.minus());
        sign_of_sum(&all)
    };
    // Terms that cancel.
    if compare(Dyadic { m: 0, e: 0 }).is_eq() {
        return d == if mode == Mode::Down { sign_bit(format) } else { 0 };
    }
    format.is_rounded(d, mode, compare)
}

/// All forms of an operation in one kernel, each judged.
fn check(kind: Kind, forms: &[(String, Mode)], judge: impl Fn(Mode, [u64; 3], u64) -> bool) {
    let Kind { name, format, .. } = kind;
    let triples = float_triples(format.exponent_bits, format.fraction_bits, 4000);
    let columns: Vec<Vec<u64>> = (0..3).map(|i| triples.iter().map(|t| t[i]).collect()).collect();
    let [a, b, c] = ["a", "b", "c"].map(|r| format!("{r}:{name}"));
    let code: String =
        forms.iter().enumerate().map(|(i, f)| f.0.replace("%d", &format!("d{i}"))).collect();
    let results: Vec<String> = (0..forms.len()).map(|i| format!("d{i}:{name}")).collect();
    let results: Vec<&str> = results.iter().map(String::as_str).collect();
    let found = run(&code, &[&a, &b, &c], &columns, &results);
    for ((form, mode), column) in forms.iter().zip(&found) {
        for (t, &d) in triples.iter().zip(column) {
            assert!(judge(*mode, *t, d), "{form} {:#x} {:#x} {:#x}: {d:#x}", t[0], t[1], t[2]);
        }
    }
}

/// The forms of an instruction: without a rounding if it may, then with each.
fn forms(name: &str, kind: &str, plain: bool, operands: &str) -> Vec<(String, Mode)> {
    let mut forms: Vec<_> =
        MODES.map(|(r, mode)| (format!("{name}.{r}.{kind} %d, {operands};\n"), mode)).into();
    if plain {
        forms.push((format!("{name}.{kind} %d, {operands};\n"), Mode::Nearest));
    }
    forms
}

#[test]
fn sums() {
    for kind in KINDS {
        check(kind, &forms("add", kind.name, true, "a, b"), |mode, [a, b, _], d| {
            right(kind, mode, None, &[a, b], d)
        });
    }
}

#[test]
fn differences() {
    for kind in KINDS {
        check(kind, &forms("sub", kind.name, true, "a, b"), |mode, [a, b, _], d| {
            right(kind, mode, None, &[a, b ^ sign_bit(kind.format)], d)
        });
    }
}

#[test]
fn products() {
    for kind in KINDS {
        check(kind, &forms("mul", kind.name, true, "a, b"), |mode, [a, b, _], d| {
            right(kind, mode, Some([a, b]), &[], d)
        });
    }
}

#[test]
fn products_and_sums_in_one() {
    for kind in KINDS {
        for name in ["fma", "mad"] {
            check(kind, &forms(name, kind.name, false, "a, b, c"), |mode, [a, b, c], d| {
                right(kind, mode, Some([a, b]), &[c], d)
            });
        }
    }
}

pub fn flushed(bits: u64) -> u64 {
    if F32.is_subnormal(bits) { bits & 0x8000_0000 } else { bits }
}

/// `.ftz` flushes sources and results, `.sat` holds results: the same as the plain instruction between flushes.
#[test]
fn flushed_and_held() {
    let saturated = |bits: u64| match f32::from_bits(bits as u32) {
        x if x >= 1.0 => u64::from(1f32.to_bits()),
        x if x > 0.0 => bits,
        _ => 0,
    };
    let mut triples = float_triples(8, 23, 3000);
    // Results around the smallest normal number and around 1.
    triples.extend((0..400).map(|i| [0x0080_0000 + i, 0x3f00_0000 + i * 77, 0x8060_0000 + i]));
    triples.extend((0..400).map(|i| [0x3f00_0000 + i, 0x3f80_0000 - i, 0x3f00_0000 + 3 * i]));
    let flushed_triples: Vec<_> = triples.iter().map(|t| t.map(flushed)).collect();
    for (name, operands) in
        [("add", "a, b"), ("sub", "a, b"), ("mul", "a, b"), ("fma", "a, b, c"), ("mad", "a, b, c")]
    {
        for (rounding, _) in MODES {
            let form = format!("{name}.{rounding}");
            let plain = results(&format!("{form}.f32 d, {operands};"), &triples);
            let plain_flushed = results(&format!("{form}.f32 d, {operands};"), &flushed_triples);
            let ftz = results(&format!("{form}.ftz.f32 d, {operands};"), &triples);
            let sat = results(&format!("{form}.sat.f32 d, {operands};"), &triples);
            let both = results(&format!("{form}.ftz.sat.f32 d, {operands};"), &triples);
            for (i, t) in triples.iter().enumerate() {
                let expected = flushed(plain_flushed[i]);
                assert_eq!(ftz[i], expected, "{form}.ftz {t:x?}");
                assert_eq!(sat[i], saturated(plain[i]), "{form}.sat {t:x?}");
                assert_eq!(both[i], saturated(expected), "{form}.ftz.sat {t:x?}");
            }
        }
    }
}

fn results(code: &str, triples: &[[u64; 3]]) -> Vec<u64> {
    let columns: Vec<Vec<u64>> = (0..3).map(|i| triples.iter().map(|t| t[i]).collect()).collect();
    let found = run(code, &["a:f32", "b:f32", "c:f32"], &columns, &["d:f32"]);
    found.into_iter().next().expect("one result")
}

/// What the sources give without any oracle: by hand.
#[test]
fn results_known_by_heart() {
    let f = |x: f32| u64::from(x.to_bits());
    let cases: [(&str, [u64; 3], u64); 10] = [
        ("add.f32 d, a, b", [f(1.0), f(2f32.powi(-24)), 0], f(1.0)),
        ("add.rp.f32 d, a, b", [f(1.0), f(2f32.powi(-24)), 0], f(1.0) + 1),
        ("add.rm.f32 d, a, b", [f(1.0), f(-2f32.powi(-149)), 0], f(1.0) - 1),
        ("add.rm.f32 d, a, b", [f(1.0), f(-1.0), 0], f(-0.0)),
        ("add.rp.f32 d, a, b", [f(1.0), f(-1.0), 0], 0),
        ("mul.rz.f32 d, a, b", [f(f32::MAX), f(2.0), 0], f(f32::MAX)),
        ("mul.rn.f32 d, a, b", [f(f32::MAX), f(2.0), 0], f(f32::INFINITY)),
        ("mul.rp.f32 d, a, b", [f(f32::MIN_POSITIVE), f(f32::MIN_POSITIVE), 0], 1),
        ("fma.rn.f32 d, a, b, c", [f(1.0) + 1, f(1.0) + 1, f(-1.0) + 2], f(2f32.powi(-46))),
        ("sub.f32 d, a, b", [f(f32::INFINITY), f(f32::INFINITY), 0], NAN),
    ];
    for (code, sources, expected) in cases {
        let found = results(&format!("{code};"), &[sources]);
        assert_eq!(found[0], expected, "{code} {sources:x?}");
    }
}

#[test]
fn signs() {
    let sign = 1 << 31;
    one("neg.f32", "f32", "f32", &f32s(), |a| a ^ sign);
    one("abs.f32", "f32", "f32", &f32s(), |a| a & !sign);
    one("neg.ftz.f32", "f32", "f32", &f32s(), |a| flushed(a) ^ sign);
    one("abs.ftz.f32", "f32", "f32", &f32s(), |a| flushed(a) & !sign);
    let sign = 1 << 63;
    one("neg.f64", "f64", "f64", &f64s(), |a| a ^ sign);
    one("abs.f64", "f64", "f64", &f64s(), |a| a & !sign);
}
