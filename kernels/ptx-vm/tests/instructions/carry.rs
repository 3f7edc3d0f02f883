//! Sums over several registers: each instruction's carry in and out, and numbers of 128 bits put together.

use crate::lanes::run;
use crate::samples::{Random, integers, low};

/// `first` sets the carry to `carry` (0 or 1) before `code` runs.
fn set_carry(carry: &str) -> String {
    format!("add.cc.u32 x, {carry}, 0xffffffff;")
}

fn columns(bits: u32) -> Vec<Vec<u64>> {
    let (corners, mut random) = (integers(bits), Random(9));
    let mut pick = || match random.next() % 3 {
        0 => corners[(random.next() % corners.len() as u64) as usize],
        1 => low(u64::MAX - random.next() % 3, bits),
        _ => low(random.number(), bits),
    };
    let mut columns: Vec<Vec<u64>> = (0..3).map(|_| (0..800).map(|_| pick()).collect()).collect();
    columns.push((0..800).map(|i| i % 2).collect());
    columns
}

/// Result and carry of an instruction, the carry read by an `addc` behind it.
fn check(name: &str, bits: u32, sources: &str, expected: impl Fn(u128, u128, u128, u128) -> u128) {
    for sign in ["u", "s"] {
        let code =
            format!("{} {name}.{sign}{bits} d, {sources}; addc.u32 out, 0, 0;", set_carry("in"));
        let register = format!("b{bits}");
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|r| format!("{r}:{register}"));
        let columns = columns(bits);
        let inputs = [&*a, &b, &c, "in:b32"];
        let code = format!(".reg .b32 x; {code}");
        let found = run(&code, &inputs, &columns, &[&d, "out:b32"]);
        for i in 0..columns[0].len() {
            let [a, b, c, carry] = [0, 1, 2, 3].map(|k| u128::from(columns[k][i]));
            let whole = expected(a, b, c, carry);
            let (value, out) = (low(whole as u64, bits), (whole >> bits & 1) as u64);
            let shown = format!("{name}.{sign}{bits} {a:#x} {b:#x} {c:#x} carry {carry}");
            assert_eq!(found[0][i], value, "{shown}");
            // Without .cc the carry stays what it was.
            let out = if name.contains(".cc") { out } else { carry as u64 };
            assert_eq!(found[1][i], out, "{shown}: carry");
        }
    }
}

/// A difference is the sum with the complement and 1, or the carry: out comes 1 where nothing was borrowed.
#[test]
fn sums_and_differences_carry() {
    for bits in [32, 64] {
        let not = |b: u128| (1 << bits) - 1 - b;
        check("add.cc", bits, "a, b", |a, b, _, _| a + b);
        check("addc", bits, "a, b", |a, b, _, c| a + b + c);
        check("addc.cc", bits, "a, b", |a, b, _, c| a + b + c);
        check("sub.cc", bits, "a, b", |a, b, _, _| a + not(b) + 1);
        check("subc", bits, "a, b", |a, b, _, c| a + not(b) + c);
        check("subc.cc", bits, "a, b", |a, b, _, c| a + not(b) + c);
    }
}

#[test]
fn products_carry() {
    for bits in [32, 64] {
        let keep = (1u128 << bits) - 1;
        check("mad.lo.cc", bits, "a, b, c", |a, b, c, _| ((a * b) & keep) + c);
        check("madc.lo", bits, "a, b, c", |a, b, c, carry| ((a * b) & keep) + c + carry);
        check("madc.lo.cc", bits, "a, b, c", |a, b, c, carry| ((a * b) & keep) + c + carry);
    }
}

#[test]
fn upper_halves_carry() {
    for (bits, kind) in [(32, "u32"), (64, "u64"), (32, "s32"), (64, "s64")] {
        let columns = columns(bits);
        let code = format!(
            ".reg .b32 x; {} madc.hi.cc.{kind} d, a, b, c; addc.u32 out, 0, 0;
             add.cc.u32 x, in, 0xffffffff; madc.hi.{kind} e, a, b, c; mad.hi.cc.{kind} f, a, b, c;
             addc.u32 last, 0, 0;",
            set_carry("in")
        );
        let [a, b, c, d, e, f] = ["a", "b", "c", "d", "e", "f"].map(|r| format!("{r}:b{bits}"));
        let results = [&*d, "out:b32", &e, &f, "last:b32"];
        let found = run(&code, &[&a, &b, &c, "in:b32"], &columns, &results);
        for i in 0..columns[0].len() {
            let [a, b, c, carry] = [0, 1, 2, 3].map(|k| columns[k][i]);
            let high = match kind {
                "u32" => (a * b) >> 32,
                "s32" => low(((i64::from(a as i32) * i64::from(b as i32)) >> 32) as u64, 32),
                "u64" => ((u128::from(a) * u128::from(b)) >> 64) as u64,
                _ => ((i128::from(a as i64) * i128::from(b as i64)) >> 64) as u64,
            };
            let sum = |carry: u64| u128::from(high) + u128::from(c) + u128::from(carry);
            let parts = |whole: u128| (low(whole as u64, bits), (whole >> bits) as u64);
            let (with, without) = (parts(sum(carry)), parts(sum(0)));
            let expected = [with.0, with.1, with.0, without.0, without.1];
            let found: Vec<u64> = found.iter().map(|column| column[i]).collect();
            assert_eq!(found, expected, "{kind} {a:#x} {b:#x} {c:#x} carry {carry}");
        }
    }
}

#[test]
fn lanes_that_take_no_part_keep_their_carry() {
    let code = ".reg .b32 x; add.cc.u32 x, a, 0xffffffff;
        setp.eq.u32 z1, a, 1; @z1 add.cc.u32 x, 0, 0; addc.u32 d, 0, 0;";
    let found = run(code, &["a:b32"], &[vec![0, 1, 2, 3]], &["d:b32"]);
    assert_eq!(found[0], [0, 0, 1, 1]);
}

#[test]
fn a_product_of_64_by_64_bits_from_parts_of_32() {
    // The manual's example of extended-precision multiplication.
    let code = "mul.lo.u32 r0, a, c; mul.hi.u32 r1, a, c;
        mad.lo.cc.u32 r1, b, c, r1; madc.hi.u32 r2, b, c, 0;
        mad.lo.cc.u32 r1, a, e, r1; madc.hi.cc.u32 r2, a, e, r2; addc.u32 r3, 0, 0;
        mad.lo.cc.u32 r2, b, e, r2; madc.hi.u32 r3, b, e, r3;";
    let mut random = Random(4);
    let columns: Vec<Vec<u64>> =
        (0..4).map(|_| (0..500).map(|_| low(random.number(), 32)).collect()).collect();
    let inputs = ["a:b32", "b:b32", "c:b32", "e:b32"];
    let found = run(code, &inputs, &columns, &["r0:b32", "r1:b32", "r2:b32", "r3:b32"]);
    for i in 0..500 {
        let x = columns[0][i] | columns[1][i] << 32;
        let y = columns[2][i] | columns[3][i] << 32;
        let product = (0..4).fold(0u128, |p, k| p | u128::from(found[k][i]) << (32 * k));
        assert_eq!(product, u128::from(x) * u128::from(y), "{x:#x} * {y:#x}");
    }
}

/// Differences of 128 bits, and the step of a long division as nvcc writes it: the carry of `subc.cc` read by `addc`.
#[test]
fn differences_of_128_bits() {
    let code =
        "sub.cc.u32 r0, a, e; subc.cc.u32 r1, b, f; subc.cc.u32 r2, c, g; subc.cc.u32 r3, d, h;
        addc.u32 r4, 0, 0; subc.u32 r5, 0, 0;";
    let mut random = Random(5);
    let columns: Vec<Vec<u64>> =
        (0..8).map(|_| (0..500).map(|_| low(random.number(), 32)).collect()).collect();
    let inputs = ["a:b32", "b:b32", "c:b32", "d:b32", "e:b32", "f:b32", "g:b32", "h:b32"];
    let results = ["r0:b32", "r1:b32", "r2:b32", "r3:b32", "r4:b32", "r5:b32"];
    let found = run(code, &inputs, &columns, &results);
    let whole = |columns: &[Vec<u64>], i: usize| {
        (0..4).fold(0u128, |whole, k| whole | u128::from(columns[k][i]) << (32 * k))
    };
    for i in 0..500 {
        let (x, y) = (whole(&columns, i), whole(&columns[4..], i));
        assert_eq!(whole(&found, i), x.wrapping_sub(y), "{x:#x} - {y:#x}");
        let borrowed = if x < y { [0, 0xffff_ffff] } else { [1, 0] };
        assert_eq!([found[4][i], found[5][i]], borrowed, "{x:#x} - {y:#x}");
    }
}
