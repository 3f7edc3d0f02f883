//! `ex2 lg2 sin cos tanh`: errors within what the PTX manual states (PTX ISA 9.7.3.18 to .22; the bound stands in each
//! test), special values as in its tables. The exact values come from the host's double precision.

use crate::float::NAN;
use crate::lanes::{one, run};
use crate::samples::{Random, f32s, low};

const INF: u64 = 0x7f80_0000;
const SIGN: u64 = 0x8000_0000;

fn single(bits: u64) -> f64 {
    f64::from(f32::from_bits(bits as u32))
}

fn bits(x: f32) -> u64 {
    u64::from(x.to_bits())
}

/// Random numbers between two bounds, and single steps around them.
fn between(least: f32, most: f32, count: usize) -> Vec<u64> {
    let mut random = Random(40);
    let mut draw = || least + (most - least) * (random.next() >> 40) as f32 / (1u64 << 24) as f32;
    let mut values: Vec<u64> = (0..count).map(|_| bits(draw())).collect();
    values.extend([least, most, (least + most) / 2.0].map(bits));
    values
}

fn results(name: &str, values: &[u64]) -> Vec<u64> {
    run(&format!("{name} d, a;"), &["a:f32"], &[values.to_vec()], &["d:f32"]).remove(0)
}

fn specials(name: &str, cases: &[(u64, u64)]) {
    let values: Vec<u64> = cases.iter().map(|c| c.0).collect();
    for ((x, expected), found) in cases.iter().zip(results(name, &values)) {
        assert_eq!(found, *expected, "{name} {x:#x}");
    }
}

/// How many single-precision steps lie between a result and the correctly rounded one.
fn steps(d: u64, exact: f64) -> u64 {
    d.abs_diff(bits(exact as f32))
}

/// At most 2 ulp from the correctly rounded result, over the full range; in fact one.
#[test]
fn powers_of_two() {
    let mut values = between(-126.0, 128.0, 40_000);
    values.extend(between(-1.0, 1.0, 20_000));
    for name in ["ex2.approx.f32", "ex2.approx.ftz.f32"] {
        for (x, d) in values.iter().zip(results(name, &values)) {
            let exact = single(*x).exp2();
            assert!(steps(d, exact) <= 1, "{name} {x:#x}: {d:#x}");
        }
        specials(name, &[(INF | SIGN, 0), (SIGN, bits(1.0)), (0, bits(1.0)), (INF, INF)]);
        specials(
            name,
            &[(1, bits(1.0)), (SIGN | 1, bits(1.0)), (INF + 1, NAN), (bits(128.0), INF)],
        );
        // Powers that are exact.
        let whole: Vec<(u64, u64)> =
            (-126..=127).map(|n| (bits(n as f32), bits(2f32.powi(n)))).collect();
        specials(name, &whole);
    }
    // Subnormal results: to the nearest, or flushed.
    let small = between(-150.0, -126.5, 5_000);
    for (x, d) in small.iter().zip(results("ex2.approx.f32", &small)) {
        assert!(steps(d, single(*x).exp2()) <= 1, "{x:#x}: {d:#x}");
    }
    one("ex2.approx.ftz.f32", "f32", "f32", &small, |_| 0);
}

/// An absolute error of 2^-22 for arguments between 0.5 and 2, a relative error of 2^-22 elsewhere.
#[test]
fn logarithms() {
    let mut values = between(0.5, 2.0, 40_000);
    values.extend(between(0.999, 1.001, 5_000));
    let mut random = Random(41);
    values.extend(
        (0..40_000).map(|_| low(random.next(), 31)).filter(|&x| (0x0080_0000..INF).contains(&x)),
    );
    for name in ["lg2.approx.f32", "lg2.approx.ftz.f32"] {
        for (x, d) in values.iter().zip(results(name, &values)) {
            let (a, exact) = (single(*x), single(*x).log2());
            let error = (single(d) - exact).abs();
            let bound = 2f64.powi(-22) * if a > 0.5 && a < 2.0 { 1.0 } else { exact.abs() };
            assert!(error <= bound, "{name} {x:#x}: {d:#x}, error {error:e}");
        }
        specials(name, &[(0, INF | SIGN), (SIGN, INF | SIGN), (INF, INF), (INF | SIGN, NAN)]);
        specials(
            name,
            &[(bits(-1.0), NAN), (INF + 1, NAN), (bits(1.0), 0), (bits(8.0), bits(3.0))],
        );
    }
    specials("lg2.approx.f32", &[(1, bits(-149.0)), (SIGN | 1, NAN), (0x0040_0000, bits(-127.0))]);
    specials("lg2.approx.ftz.f32", &[(1, INF | SIGN), (SIGN | 1, INF | SIGN)]);
}

/// An absolute error of 2^-20.5 within two turns to either side, of 2^-14.7 within a hundred half ones, none stated
/// beyond. Here 2^-20.9 everywhere.
#[test]
fn sines_and_cosines() {
    let mut values = between(-std::f32::consts::PI, std::f32::consts::PI, 40_000);
    values.extend(between(-1000.0, 1000.0, 10_000));
    values.extend(f32s().into_iter().filter(|&x| single(x).is_finite()));
    for (name, exact) in [("sin", f64::sin as fn(f64) -> f64), ("cos", f64::cos)] {
        for ftz in ["", ".ftz"] {
            let name = format!("{name}.approx{ftz}.f32");
            for (x, d) in values.iter().zip(results(&name, &values)) {
                let error = (single(d) - exact(single(*x))).abs();
                assert!(error < 2f64.powf(-20.9), "{name} {x:#x}: {d:#x}, error {error:e}");
            }
            specials(&name, &[(INF, NAN), (INF | SIGN, NAN), (INF + 1, NAN)]);
        }
    }
    specials("sin.approx.f32", &[(0, 0), (SIGN, SIGN), (1, 1)]);
    specials("sin.approx.ftz.f32", &[(0, 0), (SIGN, SIGN), (1, 0), (SIGN | 1, SIGN)]);
    specials("cos.approx.ftz.f32", &[(0, bits(1.0)), (SIGN, bits(1.0)), (1, bits(1.0))]);
}

/// A relative error of 2^-11.
#[test]
fn hyperbolic_tangents() {
    let mut values = between(-10.0, 10.0, 20_000);
    values.extend(between(-0.2, 0.2, 20_000));
    values.extend(f32s().into_iter().filter(|&x| single(x).is_finite() && single(x) != 0.0));
    for (x, d) in values.iter().zip(results("tanh.approx.f32", &values)) {
        let exact = single(*x).tanh();
        let error = if exact == 0.0 { single(d).abs() } else { (single(d) / exact - 1.0).abs() };
        assert!(error < 2f64.powi(-11), "{x:#x}: {d:#x}, error {error:e}");
    }
    let one_bits = bits(1.0);
    specials("tanh.approx.f32", &[(INF, one_bits), (INF | SIGN, one_bits | SIGN), (INF + 1, NAN)]);
    specials("tanh.approx.f32", &[(0, 0), (SIGN, SIGN)]);
}
