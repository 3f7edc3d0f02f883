//! `div rcp sqrt rsqrt`: rounded results by the definition of rounding, approximate ones within the manual's bounds.

use std::cmp::Ordering;

use crate::float::{NAN, WIDE_NAN, flushed};
use crate::lanes::{one, run, two};
use crate::rounding::{Dyadic, F32, F64, Format, MODES, Mode, sign_of_sum};
use crate::samples::{Random, f32s, f64s, float, float_pairs};

const KINDS: [(&str, Format, u64); 2] = [("f32", F32, NAN), ("f64", F64, WIDE_NAN)];

fn sign_bit(format: Format) -> u64 {
    1 << (format.exponent_bits + format.fraction_bits)
}

/// What a quotient is where no rounding comes in.
fn special(format: Format, nan: u64, a: u64, b: u64) -> Option<u64> {
    let sign = (a ^ b) & sign_bit(format);
    let (infinite, zero) = (|x| format.is_infinite(x), |x| format.is_zero(x));
    if format.is_nan(a) || format.is_nan(b) || (infinite(a) && infinite(b)) || (zero(a) && zero(b))
    {
        Some(nan)
    } else if infinite(a) || zero(b) {
        Some(sign | format.infinity())
    } else if zero(a) || infinite(b) {
        Some(sign)
    } else {
        None
    }
}

fn right_quotient(format: Format, nan: u64, mode: Mode, a: u64, b: u64, d: u64) -> bool {
    if let Some(bits) = special(format, nan, a, b) {
        return d == bits;
    }
    let (x, y) = (format.value(a), format.value(b));
    // a / b against v: a against v * b, the other way round if b is negative.
    let compare = |v: Dyadic| {
        let order = sign_of_sum(&[x, v.times(y).minus()]);
        if y.m < 0 { order.reverse() } else { order }
    };
    format.is_rounded(d, mode, compare)
}

#[test]
fn quotients() {
    for (name, format, nan) in KINDS {
        let pairs = float_pairs(format.exponent_bits, format.fraction_bits, 3000);
        let columns: Vec<Vec<u64>> = (0..2).map(|i| pairs.iter().map(|p| p[i]).collect()).collect();
        let (a, b, d) = (format!("a:{name}"), format!("b:{name}"), format!("d:{name}"));
        for (rounding, mode) in MODES {
            let code = format!("div.{rounding}.{name} d, a, b;");
            let found = run(&code, &[&a, &b], &columns, &[&d]);
            for ([x, y], &d) in pairs.iter().zip(&found[0]) {
                assert!(
                    right_quotient(format, nan, mode, *x, *y, d),
                    "{code} {x:#x} {y:#x}: {d:#x}"
                );
            }
        }
    }
}

/// Corner cases and random numbers of a format.
fn numbers(format: Format, more: usize) -> Vec<u64> {
    let mut values = if format.exponent_bits == 8 { f32s() } else { f64s() };
    let mut random = Random(30);
    values
        .extend((0..more).map(|_| float(&mut random, format.exponent_bits, format.fraction_bits)));
    values
}

#[test]
fn reciprocals() {
    for (name, format, nan) in KINDS {
        let values = numbers(format, 3000);
        let one = ((1 << (format.exponent_bits - 1)) - 1) << format.fraction_bits;
        let (a, d) = (format!("a:{name}"), format!("d:{name}"));
        for (rounding, mode) in MODES {
            let code = format!("rcp.{rounding}.{name} d, a;");
            let found = run(&code, &[&a], std::slice::from_ref(&values), &[&d]);
            for (x, &d) in values.iter().zip(&found[0]) {
                assert!(right_quotient(format, nan, mode, one, *x, d), "{code} {x:#x}: {d:#x}");
            }
        }
    }
}

#[test]
fn roots() {
    for (name, format, nan) in KINDS {
        let mut values = numbers(format, 3000);
        // Squares, whose roots are exact.
        values.extend((1..200u32).map(|i| match name {
            "f32" => u64::from(((i * i) as f32).to_bits()),
            _ => f64::from(i * i).to_bits(),
        }));
        let (a, d) = (format!("a:{name}"), format!("d:{name}"));
        for (rounding, mode) in MODES {
            let code = format!("sqrt.{rounding}.{name} d, a;");
            let found = run(&code, &[&a], std::slice::from_ref(&values), &[&d]);
            for (&x, &d) in values.iter().zip(&found[0]) {
                let negative = x & sign_bit(format) != 0;
                let right = match x {
                    x if format.is_zero(x) => d == x,
                    x if format.is_nan(x) || negative => d == nan,
                    x if format.is_infinite(x) => d == x,
                    x => format.is_rounded(d, mode, |v| match v.m {
                        ..0 => Ordering::Greater,
                        _ => sign_of_sum(&[format.value(x), v.times(v).minus()]),
                    }),
                };
                assert!(right, "{code} {x:#x}: {d:#x}");
            }
        }
    }
}

#[test]
fn flushed_forms() {
    let pairs = float_pairs(8, 23, 2000);
    let of_two = |name: &str, sources: &[[u64; 2]]| {
        let columns: Vec<Vec<u64>> =
            (0..2).map(|i| sources.iter().map(|p| p[i]).collect()).collect();
        run(&format!("{name} d, a, b;"), &["a:f32", "b:f32"], &columns, &["d:f32"]).remove(0)
    };
    let of_one = |name: &str, sources: &[[u64; 2]]| {
        let column: Vec<u64> = sources.iter().map(|p| p[1]).collect();
        run(&format!("{name} d, a;"), &["a:f32"], &[column], &["d:f32"]).remove(0)
    };
    let flushed_pairs: Vec<_> = pairs.iter().map(|p| p.map(flushed)).collect();
    for name in ["div.rn", "div.rz", "div.rm", "div.rp", "div.full", "div.approx"] {
        let (ftz, plain) = (
            of_two(&format!("{name}.ftz.f32"), &pairs),
            of_two(&format!("{name}.f32"), &flushed_pairs),
        );
        for (i, p) in pairs.iter().enumerate() {
            assert_eq!(ftz[i], flushed(plain[i]), "{name} {p:x?}");
        }
    }
    for name in
        ["rcp.rn", "rcp.rp", "rcp.approx", "sqrt.rn", "sqrt.rm", "sqrt.approx", "rsqrt.approx"]
    {
        let (ftz, plain) = (
            of_one(&format!("{name}.ftz.f32"), &pairs),
            of_one(&format!("{name}.f32"), &flushed_pairs),
        );
        for (i, p) in pairs.iter().enumerate() {
            assert_eq!(ftz[i], flushed(plain[i]), "{name} {p:x?}");
        }
    }
}

/// Distance in units of the last place of the nearest f32, of finite results.
fn places(d: u64, exact: f64) -> f64 {
    let nearest = exact as f32;
    let place = (f64::from(f32::from_bits(nearest.to_bits() + 1)) - f64::from(nearest)).abs();
    (f64::from(f32::from_bits(d as u32)) - exact).abs() / place
}

fn single(bits: u64) -> f64 {
    f64::from(f32::from_bits(bits as u32))
}

/// The manual: 2 ulp for divisors from 2^-126 to 2^126 (`.approx`), 2 ulp everywhere (`.full`); divisors above 2^126 give
/// 0, or NaN for an infinite dividend.
#[test]
fn approximate_quotients() {
    let pairs = float_pairs(8, 23, 4000);
    let columns: Vec<Vec<u64>> = (0..2).map(|i| pairs.iter().map(|p| p[i]).collect()).collect();
    let code = "div.approx.f32 d, a, b; div.full.f32 e, a, b;";
    let found = run(code, &["a:f32", "b:f32"], &columns, &["d:f32", "e:f32"]);
    for (i, &[a, b]) in pairs.iter().enumerate() {
        let (approx, full) = (found[0][i], found[1][i]);
        let shown = format!("{a:#x} / {b:#x}: {approx:#x}, {full:#x}");
        if let Some(bits) = special(F32, NAN, a, b) {
            assert_eq!(full, bits, "{shown}");
        } else if (single(a) / single(b)).abs() <= f64::from(f32::MAX) {
            assert!(places(full, single(a) / single(b)) <= 2.0, "{shown}");
        }
        let divisor = single(b).abs();
        if divisor > 2f64.powi(126) && divisor.is_finite() {
            let nan = !single(a).is_finite();
            let sign = (a ^ b) & 0x8000_0000;
            assert_eq!(approx, if nan { NAN } else { sign }, "{shown}");
        } else {
            assert_eq!(approx, full, "{shown}");
        }
    }
}

/// The manual: `rcp` 1 ulp, `sqrt` a relative error of 2^-23, `rsqrt` of 2^-22.9.
#[test]
fn approximate_reciprocals_and_roots() {
    let values = numbers(F32, 4000);
    let code = "rcp.approx.f32 d, a; sqrt.approx.f32 e, a; rsqrt.approx.f32 f, a;";
    let found = run(code, &["a:f32"], std::slice::from_ref(&values), &["d:f32", "e:f32", "f:f32"]);
    for (i, &x) in values.iter().enumerate() {
        let [rcp, root, reverse] = [0, 1, 2].map(|k| found[k][i]);
        let a = single(x);
        let shown = format!("{x:#x}: {rcp:#x} {root:#x} {reverse:#x}");
        if a.is_finite() && a != 0.0 && (1.0 / a).abs() <= f64::from(f32::MAX) {
            assert!(places(rcp, 1.0 / a) <= 1.0, "{shown}");
        }
        if a.is_finite() && a > 0.0 {
            let error = |d: u64, exact: f64| (single(d) - exact).abs() / exact;
            assert!(error(root, a.sqrt()) <= 2f64.powi(-23), "{shown}");
            assert!(error(reverse, 1.0 / a.sqrt()) <= 2f64.powf(-22.9), "{shown}");
        }
    }
}

/// The tables of the manual.
#[test]
fn special_values() {
    let bits = |x: f32| u64::from(x.to_bits());
    let (inf, zero, sub) = (bits(f32::INFINITY), 0, 1);
    let neg = |x: u64| x | 0x8000_0000;
    let values = [inf, neg(inf), zero, neg(zero), sub, neg(sub), bits(-1.0), 0x7f80_0001];
    let expect = |name: &str, results: [u64; 8]| {
        let i = std::cell::Cell::new(0);
        one(name, "f32", "f32", &values, |_| {
            i.set(i.get() + 1);
            results[i.get() - 1]
        });
    };
    let (one_bits, root_of_least) = (bits(-1.0), bits((2f64.powf(-74.5)) as f32));
    expect("rcp.approx.ftz.f32", [zero, neg(zero), inf, neg(inf), inf, neg(inf), one_bits, NAN]);
    expect("rcp.approx.f32", [zero, neg(zero), inf, neg(inf), inf, neg(inf), one_bits, NAN]);
    expect("sqrt.approx.ftz.f32", [inf, NAN, zero, neg(zero), zero, neg(zero), NAN, NAN]);
    expect("sqrt.approx.f32", [inf, NAN, zero, neg(zero), root_of_least, NAN, NAN, NAN]);
    expect("rsqrt.approx.ftz.f32", [zero, NAN, inf, neg(inf), inf, neg(inf), NAN, NAN]);
    let least = bits(2f64.powf(74.5) as f32);
    expect("rsqrt.approx.f32", [zero, NAN, inf, neg(inf), least, NAN, NAN, NAN]);
}

/// `.ftz`: only the upper half of an f64 is read and computed, the lower is 0; subnormals are flushed; there is one NaN.
/// The manual states no error for these three. (20 bits of a fraction come out: a step of 2^-20.)
#[test]
fn coarse_doubles() {
    let mut values = numbers(F64, 2000);
    // A NaN whose upper half is infinite, and a subnormal whose upper half is zero.
    values.extend([0x7ff0_0000_0000_0001, 0xfff0_0000_0000_0001, 1, 1 << 63 | 1]);
    let code = "rcp.approx.ftz.f64 d, a; rsqrt.approx.ftz.f64 e, a; rsqrt.approx.f64 f, a;";
    let found = run(code, &["a:f64"], std::slice::from_ref(&values), &["d:f64", "e:f64", "f:f64"]);
    for (i, &x) in values.iter().enumerate() {
        let [rcp, coarse, fine] = [0, 1, 2].map(|k| found[k][i]);
        let (a, sign) = (f64::from_bits(x & 0xffff_ffff_0000_0000), x & 1 << 63);
        let normal = a.is_normal() && (1.0 / a).is_normal();
        assert!(rcp as u32 == 0 && coarse as u32 == 0, "{x:#x}");
        let error = |d: u64, exact: f64| ((f64::from_bits(d) - exact) / exact).abs();
        if normal {
            assert!(error(rcp, 1.0 / a) < 2f64.powi(-20), "{x:#x}: {rcp:#x}");
        }
        if normal && a > 0.0 {
            assert!(error(coarse, 1.0 / a.sqrt()) < 2f64.powi(-20), "{x:#x}: {coarse:#x}");
        }
        if a.is_subnormal() || a == 0.0 {
            assert_eq!(rcp, sign | F64.infinity(), "{x:#x}");
            assert_eq!(coarse, sign | F64.infinity(), "{x:#x}");
        }
        if a.is_infinite() {
            assert_eq!((rcp, a < 0.0 || coarse == 0), (sign, true), "{x:#x}");
        }
        if a.is_nan() {
            assert_eq!([rcp, coarse], [0x7fff_ffff_0000_0000; 2], "{x:#x}");
        }
        if a < 0.0 && !a.is_subnormal() {
            assert_eq!(coarse, 0x7fff_ffff_0000_0000, "{x:#x}");
        }
        let whole = f64::from_bits(x);
        if whole.is_nan() {
            assert_eq!(fine, WIDE_NAN, "{x:#x}");
        } else if whole > 0.0 && whole.is_finite() {
            assert!(error(fine, 1.0 / whole.sqrt()) < 2f64.powi(-51), "{x:#x}: {fine:#x}");
        }
    }
    two("div.full.f32", ["f32"; 3], &[[0x3f80_0000, 0x4000_0000]], |_, _| 0x3f00_0000);
}
