//! Arithmetic of f16 and bf16, one and two in a register: judged by the definition of rounding.

use crate::compare::{bf16, f16};
use crate::lanes::run;
use crate::rounding::{BF16, Dyadic, F16, Format, Mode, sign_of_sum};
use crate::samples::float_triples;

const SIGN: u64 = 0x8000;
/// The NaN of both formats.
const NAN: u64 = 0x7fff;

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    format: Format,
    value: fn(u64) -> f64,
}

const KINDS: [Kind; 2] = [
    Kind { name: "f16", format: F16, value: f16 },
    Kind { name: "bf16", format: BF16, value: bf16 },
];

impl Kind {
    fn triples(self, count: usize) -> Vec<[u64; 3]> {
        float_triples(self.format.exponent_bits, self.format.fraction_bits, count)
    }

    fn flushed(self, bits: u64) -> u64 {
        if self.format.is_subnormal(bits) { bits & SIGN } else { bits }
    }
}

/// Runs `name.kind d, sources` and, with two triples in each register, `name.kindx2`: the same results.
fn results(name: &str, kind: Kind, sources: usize, triples: &[[u64; 3]]) -> Vec<u64> {
    let operands = &", a, b, c"[..3 * sources];
    let columns = |triples: &[[u64; 3]]| -> Vec<Vec<u64>> {
        (0..3).map(|i| triples.iter().map(|t| t[i]).collect()).collect()
    };
    let code = format!("{name}.{} d{operands};", kind.name);
    let single = run(&code, &["a:b16", "b:b16", "c:b16"], &columns(triples), &["d:b16"]).remove(0);
    let pairs: Vec<[u64; 3]> = triples
        .iter()
        .zip(triples.iter().rev())
        .map(|(low, high)| [0, 1, 2].map(|i| low[i] | high[i] << 16))
        .collect();
    let code = format!("{name}.{}x2 d{operands};", kind.name);
    let double = run(&code, &["a:b32", "b:b32", "c:b32"], &columns(&pairs), &["d:b32"]).remove(0);
    for (i, d) in double.iter().enumerate() {
        let expected = single[i] | single[triples.len() - 1 - i] << 16;
        assert_eq!(*d, expected, "{code} {:x?}", pairs[i]);
    }
    single
}

/// Whether `d` is `product + terms` rounded; infinities, NaNs and zeros as the host's f64 has them.
fn right(kind: Kind, product: Option<[u64; 2]>, terms: &[u64], d: u64) -> bool {
    let Kind { format, value, .. } = kind;
    let start = product.map(|[a, b]| value(a) * value(b));
    let numbers: Vec<f64> = start.into_iter().chain(terms.iter().map(|&x| value(x))).collect();
    let whole = numbers[1..].iter().fold(numbers[0], |sum, x| sum + x);
    if whole.is_nan() {
        return d == NAN;
    }
    if whole.is_infinite() {
        return d == format.infinity() | if whole < 0.0 { SIGN } else { 0 };
    }
    let mut exact: Vec<Dyadic> = terms.iter().map(|&x| format.value(x)).collect();
    exact.extend(product.map(|[a, b]| format.value(a).times(format.value(b))));
    let compare = |x: Dyadic| {
        let mut all = exact.clone();
        all.push(x.minus());
        sign_of_sum(&all)
    };
    if compare(Dyadic { m: 0, e: 0 }).is_eq() {
        return d == if whole.is_sign_negative() { SIGN } else { 0 };
    }
    format.is_rounded(d, Mode::Nearest, compare)
}

#[test]
fn sums_and_products() {
    for kind in KINDS {
        let triples = kind.triples(6000);
        for rn in ["", ".rn"] {
            let judge = |name: &str, sources: usize, right: &dyn Fn([u64; 3], u64) -> bool| {
                let name = format!("{name}{rn}");
                for (t, d) in triples.iter().zip(results(&name, kind, sources, &triples)) {
                    assert!(right(*t, d), "{name}.{} {t:x?}: {d:#x}", kind.name);
                }
            };
            judge("add", 2, &|[a, b, _], d| right(kind, None, &[a, b], d));
            judge("sub", 2, &|[a, b, _], d| right(kind, None, &[a, b ^ SIGN], d));
            judge("mul", 2, &|[a, b, _], d| right(kind, Some([a, b]), &[], d));
            if rn == ".rn" {
                judge("fma", 3, &|[a, b, c], d| right(kind, Some([a, b]), &[c], d));
            }
        }
    }
}

/// Modifiers against the plain instruction between flushes.
#[test]
fn flushed_held_and_clamped() {
    for kind in KINDS {
        let triples = kind.triples(3000);
        let flushed: Vec<_> = triples.iter().map(|t| t.map(|x| kind.flushed(x))).collect();
        let number = |x: u64| (kind.value)(x);
        let one = if kind.name == "f16" { 0x3c00 } else { 0x3f80 };
        let held = |d: u64| match number(d) {
            x if x >= 1.0 => one,
            x if x > 0.0 => d,
            _ => 0,
        };
        let clamped = |d: u64| if number(d).is_nan() || number(d) > 0.0 { d } else { 0 };
        let check = |name: &str, sources: usize, plain: &[u64], of: &dyn Fn(u64) -> u64| {
            for (i, d) in results(name, kind, sources, &triples).into_iter().enumerate() {
                assert_eq!(d, of(plain[i]), "{name}.{} {:x?}", kind.name, triples[i]);
            }
        };
        for (name, sources) in [("add.rn", 2), ("sub.rn", 2), ("mul.rn", 2), ("fma.rn", 3)] {
            let plain = results(name, kind, sources, &triples);
            let plain_flushed = results(name, kind, sources, &flushed);
            if kind.name == "f16" {
                let flush = |d: u64| kind.flushed(d);
                check(&format!("{name}.ftz"), sources, &plain_flushed, &flush);
                check(&format!("{name}.sat"), sources, &plain, &held);
                check(&format!("{name}.ftz.sat"), sources, &plain_flushed, &|d| held(flush(d)));
            }
            if name == "fma.rn" {
                check("fma.rn.relu", 3, &plain, &clamped);
                if kind.name == "f16" {
                    let flush = |d: u64| clamped(kind.flushed(d));
                    check("fma.rn.ftz.relu", 3, &plain_flushed, &flush);
                }
            }
        }
    }
}

#[test]
fn signs() {
    for kind in KINDS {
        let triples: Vec<_> = kind.triples(500);
        let expected = |x: u64, of: u64| if kind.format.is_nan(x) { NAN } else { of };
        for (t, d) in triples.iter().zip(results("neg", kind, 1, &triples)) {
            assert_eq!(d, expected(t[0], t[0] ^ SIGN));
        }
        for (t, d) in triples.iter().zip(results("abs", kind, 1, &triples)) {
            assert_eq!(d, expected(t[0], t[0] & !SIGN));
        }
    }
    let kind = KINDS[0];
    let triples: Vec<_> = kind.triples(500);
    for (name, flip) in [("abs.ftz", false), ("neg.ftz", true)] {
        for (t, d) in triples.iter().zip(results(name, kind, 1, &triples)) {
            let flushed = kind.flushed(t[0]);
            let number = if flip { flushed ^ SIGN } else { flushed & !SIGN };
            let expected = if kind.format.is_nan(t[0]) { NAN } else { number };
            assert_eq!(d, expected, "{name} {t:x?}");
        }
    }
}

#[test]
fn smaller_and_larger() {
    for kind in KINDS {
        let triples: Vec<_> = kind.triples(2000);
        let nan = |x: u64| kind.format.is_nan(x);
        let order = |x: u64| if x & SIGN != 0 { -((x & !SIGN) as i64) - 1 } else { x as i64 };
        for (name, least) in [("min", true), ("max", false)] {
            let choose = |a: u64, b: u64| match (nan(a), nan(b)) {
                (true, true) => NAN,
                (true, false) => b,
                (false, true) => a,
                _ if (order(a) <= order(b)) == least => a,
                _ => b,
            };
            let with_nan = |a: u64, b: u64| if nan(a) || nan(b) { NAN } else { choose(a, b) };
            let check = |form: &str, of: &dyn Fn(u64, u64) -> u64| {
                let form = format!("{name}{form}");
                for (t, d) in triples.iter().zip(results(&form, kind, 2, &triples)) {
                    assert_eq!(d, of(t[0], t[1]), "{form}.{} {t:x?}", kind.name);
                }
            };
            check("", &choose);
            check(".NaN", &with_nan);
            let sign = |d: u64, a: u64, b: u64| if nan(d) { d } else { d | ((a ^ b) & SIGN) };
            check(".xorsign.abs", &|a, b| sign(choose(a & !SIGN, b & !SIGN), a, b));
            check(".NaN.xorsign.abs", &|a, b| sign(with_nan(a & !SIGN, b & !SIGN), a, b));
            if kind.name == "f16" {
                let flush = |x: u64| kind.flushed(x);
                check(".ftz", &|a, b| choose(flush(a), flush(b)));
                check(".ftz.NaN", &|a, b| with_nan(flush(a), flush(b)));
                let magnitude = |x: u64| flush(x) & !SIGN;
                check(".ftz.xorsign.abs", &|a, b| sign(choose(magnitude(a), magnitude(b)), a, b));
            }
        }
    }
}

/// The manual: `ex2` of f16 to a relative error of 2^-9.9, of bf16 of 2^-7; `tanh` of f16 to an absolute error of
/// 2^-10.987, of bf16 of 2^-8.
#[test]
fn approximations() {
    for kind in KINDS {
        let (bf, step) = (kind.name == "bf16", if kind.name == "bf16" { 1 } else { 3 });
        let triples: Vec<[u64; 3]> = (0..0x10000).step_by(step).map(|x| [x, 0, 0]).collect();
        let smallest = (kind.value)(1 << kind.format.fraction_bits);
        let largest = (kind.value)(kind.format.infinity() - 1);
        let name = if bf { "ex2.approx.ftz" } else { "ex2.approx" };
        for (t, d) in triples.iter().zip(results(name, kind, 1, &triples)) {
            let (x, d_value) = ((kind.value)(t[0]), (kind.value)(d));
            let exact = x.exp2();
            if x.is_nan() {
                assert_eq!(d, NAN);
            } else if exact >= smallest && exact <= largest {
                let error = (d_value / exact - 1.0).abs();
                assert!(error < 2f64.powf(if bf { -7.0 } else { -9.9 }), "{name} {t:x?} {d:#x}");
            } else if exact > 2.0 * largest {
                assert_eq!(d, kind.format.infinity(), "{name} {t:x?}");
            } else if bf && exact < smallest / 2.0 {
                assert_eq!(d, 0, "{name} {t:x?}");
            }
        }
        for (t, d) in triples.iter().zip(results("tanh.approx", kind, 1, &triples)) {
            let (x, d_value) = ((kind.value)(t[0]), (kind.value)(d));
            if x.is_nan() {
                assert_eq!(d, NAN);
            } else {
                let error = (d_value - x.tanh()).abs();
                assert!(error < 2f64.powf(if bf { -8.0 } else { -10.987 }), "tanh {t:x?} {d:#x}");
            }
        }
    }
}
