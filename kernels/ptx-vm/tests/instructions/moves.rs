//! `mov`: of every type, packing and unpacking, constants.

use crate::lanes::{one, run};
use crate::samples::integers;

#[test]
fn registers_of_every_type() {
    for (kinds, register) in [
        (&["b16", "u16", "s16"][..], "b16"),
        (&["b32", "u32", "s32", "f32"], "b32"),
        (&["b64", "u64", "s64", "f64"], "b64"),
    ] {
        let values = integers(register[1..].parse().expect("a width"));
        for kind in kinds {
            let (d, a) = if kind.starts_with('f') { (*kind, *kind) } else { (register, register) };
            one(&format!("mov.{kind}"), d, a, &values, |x| x);
        }
    }
    one("mov.pred", "pred", "pred", &[0, 1], |x| x);
    one("mov.b32", "f32", "b32", &integers(32), |x| x);
}

#[test]
fn constants() {
    let code = "mov.f64 d, 1.5; mov.f32 e, 1.5; mov.b32 f, 0f3F800000; mov.b64 g, -2; mov.u16 h, 65535; mov.f64 i, 0d4000000000000000;
        mov.pred p, 1; mov.pred q, 0; mov.s32 j, -1;";
    let results =
        ["d:f64", "e:f32", "f:b32", "g:b64", "h:b16", "i:f64", "p:pred", "q:pred", "j:b32"];
    let found: Vec<u64> = run(code, &[], &[], &results).iter().map(|column| column[0]).collect();
    let expected = [
        1.5f64.to_bits(),
        u64::from(1.5f32.to_bits()),
        0x3f80_0000,
        u64::MAX - 1,
        0xffff,
        2f64.to_bits(),
        1,
        0,
        0xffff_ffff,
    ];
    assert_eq!(found, expected);
}

/// The first element is the lowest.
#[test]
fn parts() {
    let values = integers(64);
    let code = "mov.b64 {r0, r1}, w; mov.b64 {h0, h1, h2, h3}, w; mov.b32 {h4, h5}, r1; mov.b64 {_, r2}, w; mov.b32 {h6, _}, r0;
        .reg .b8 c<8>; mov.b32 {c0, c1, c2, c3}, r0; mov.b16 {c4, c5}, h0; cvt.u16.u8 h7, c3; cvt.u16.u8 h8, c5;
        mov.b64 x, {r1, r0}; mov.b64 y, {h3, h2, h1, h0}; mov.b32 r3, {h5, h4}; mov.b32 r4, {c3, c2, c1, c0}; mov.b16 h9, {c5, c4};
        .reg .f32 f<2>; mov.b64 {f0, f1}, w; mov.b64 z, {f1, f0};";
    let (bytes, halves, words): (Vec<_>, Vec<_>, Vec<_>) = (
        (0..8).map(|i| move |x: u64| x >> (8 * i) & 0xff).collect(),
        (0..4).map(|i| move |x: u64| x >> (16 * i) & 0xffff).collect(),
        (0..2).map(|i| move |x: u64| x >> (32 * i) & 0xffff_ffff).collect(),
    );
    let names = [
        "r0:b32", "r1:b32", "h0:b16", "h1:b16", "h2:b16", "h3:b16", "h4:b16", "h5:b16", "r2:b32",
        "h6:b16", "h7:b16", "h8:b16", "x:b64", "y:b64", "r3:b32", "r4:b32", "h9:b16", "z:b64",
    ];
    let found = run(code, &["w:b64"], std::slice::from_ref(&values), &names);
    for (i, &x) in values.iter().enumerate() {
        let (b, h, w) = (|i: usize| bytes[i](x), |i: usize| halves[i](x), |i: usize| words[i](x));
        let expected = [
            w(0),
            w(1),
            h(0),
            h(1),
            h(2),
            h(3),
            h(2),
            h(3),
            w(1),
            h(0),
            b(3),
            b(1),
            w(1) | w(0) << 32,
            h(3) | h(2) << 16 | h(1) << 32 | h(0) << 48,
            h(3) | h(2) << 16,
            b(3) | b(2) << 8 | b(1) << 16 | b(0) << 24,
            b(1) | b(0) << 8,
            w(1) | w(0) << 32,
        ];
        let found: Vec<u64> = found.iter().map(|column| column[i]).collect();
        assert_eq!(found, expected, "{x:#x}");
    }
}
