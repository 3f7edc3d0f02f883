//! What no instruction takes is refused when the text is loaded, with the line and what is wrong.

use crate::lanes::refused;

/// Registers of all kinds.
const REGISTERS: [&str; 22] = [
    "p:pred", "q:pred", "h:b16", "i:b16", "j:b16", "r:b32", "s:b32", "t:b32", "u:b32", "f:f32",
    "g:f32", "k:f32", "l:f32", "d:f64", "e:f64", "m:f64", "w:b64", "x:b64", "y:b64", "n:u32",
    "o:s32", "v:f16",
];

#[track_caller]
fn refuses(code: &str) {
    let error =
        refused(&format!("{code};"), &REGISTERS).unwrap_or_else(|| panic!("{code} was taken"));
    assert!(error.contains("PTX line") && error.contains(code), "{error}");
}

#[track_caller]
fn takes(code: &str) {
    if let Some(error) = refused(&format!("{code};"), &REGISTERS) {
        panic!("{error}");
    }
}

#[test]
fn modifiers_and_types_that_do_not_exist() {
    for code in [
        "add.sat.u32 r, s, t",
        "add.sat.s64 w, x, y",
        "add.wide.s32 w, r, s",
        "add.b32 r, s, t",
        "add.s8 h, i, j",
        "add.cc.u16 h, i, j",
        "addc.f32 f, g, k",
        "sub.u16x2 r, s, t",
        "mul.s32 r, s, t",
        "mul.wide.s64 w, x, y",
        "mul.lo.f32 f, g, k",
        "mul.hi.b32 r, s, t",
        "mad.s32 r, s, t, u",
        "mad.lo.sat.s32 r, s, t, u",
        "mad.hi.sat.u32 r, s, t, u",
        "mul24.wide.u32 r, s, t",
        "mul24.lo.u64 w, x, y",
        "mad24.lo.sat.s32 r, s, t, u",
        "div.b32 r, s, t",
        "rem.f32 f, g, k",
        "neg.u32 r, s",
        "abs.u32 r, s",
        "min.relu.u32 r, s, t",
        "max.relu.s64 w, x, y",
        "min.relu.u16x2 r, s, t",
        "sad.b32 r, s, t, u",
        "popc.u32 r, s",
        "clz.b16 r, h",
        "brev.u32 r, s",
        "bfind.b32 r, s",
        "bfe.b32 r, s, t, u",
        "bfi.u32 r, s, t, u, 1",
        "bmsk.b32 r, s, t",
        "bmsk.clamp.wrap.b32 r, s, t",
        "szext.clamp.b32 r, s, t",
        "prmt.b64 w, x, y, r",
        "prmt.b32.f5e r, s, t, u",
        "fns.b64 w, x, r, s",
        "shl.u32 r, s, t",
        "shl.s16 h, i, r",
        "shr.f32 f, g, r",
        "shf.l.b32 r, s, t, u",
        "shf.clamp.b32 r, s, t, u",
        "shf.l.wrap.b64 w, x, y, r",
        "and.u32 r, s, t",
        "not.s32 r, s",
        "cnot.pred p, q",
        "lop3.b32 r, s, t, u, 256",
        "lop3.b32 r, s, t, u, s",
        "lop3.xor.b32 r|p, s, t, u, 1, q",
        "lop3.b64 w, x, y, w, 1",
        "dp4a.s8.s8 r, s, t, u",
        "dp2a.s32.s32 r, s, t, u",
    ] {
        refuses(code);
    }
}

#[test]
fn floats() {
    for code in [
        "add.rna.f32 f, g, k",
        "add.approx.f32 f, g, k",
        "add.ftz.f64 d, e, m",
        "add.sat.f64 d, e, m",
        "mul.relu.f32 f, g, k",
        "fma.f32 f, g, k, l",
        "mad.f64 d, e, m, d",
        "fma.rn.s32 r, s, t, u",
        "neg.sat.f32 f, g",
        "abs.ftz.f64 d, e",
        "div.f32 f, g, k",
        "div.f64 d, e, m",
        "div.approx.f64 d, e, m",
        "div.full.f64 d, e, m",
        "rcp.full.f32 f, g",
        "rcp.f32 f, g",
        "rcp.approx.f64 d, e",
        "sqrt.f32 f, g",
        "sqrt.approx.f64 d, e",
        "sqrt.rn.ftz.f64 d, e",
        "rsqrt.rn.f32 f, g",
        "rsqrt.f32 f, g",
        "ex2.f32 f, g",
        "ex2.approx.f64 d, e",
        "lg2.approx.f16 h, i",
        "sin.f32 f, g",
        "cos.approx.f64 d, e",
        "tanh.approx.ftz.f32 f, g",
        "tanh.approx.f64 d, e",
        "min.NaN.f64 d, e, m",
        "max.xorsign.f32 f, g, k",
        "min.abs.f32 f, g, k",
        "min.xorsign.abs.f32 f, g, k, l",
        "add.rz.f16 h, i, j",
        "add.sat.bf16 h, i, j",
        "add.ftz.bf16x2 r, s, t",
        "fma.f16 h, i, j, h",
        "fma.rn.sat.bf16 h, i, j, h",
        "fma.rn.relu.sat.f16 h, i, j, h",
        "fma.rn.oob.f16 h, i, j, h",
        "min.xorsign.f16 h, i, j",
        "min.ftz.bf16 h, i, j",
        "neg.ftz.bf16 h, i",
        "ex2.approx.bf16 h, i",
        "ex2.f16 h, i",
        "div.rn.f16 h, i, j",
        "sad.f16 h, i, j, h",
        "mad.rn.f16 h, i, j, h",
        "testp.zero.f32 p, f",
        "testp.finite.s32 p, r",
        "testp.f32 p, f",
        "copysign.b32 r, s, t",
    ] {
        refuses(code);
    }
}

#[test]
fn comparisons_and_selections() {
    for code in [
        "setp.s32 p, r, s",
        "setp.lo.s32 p, r, s",
        "setp.lt.b32 p, r, s",
        "setp.ltu.s32 p, r, s",
        "setp.hs.f32 p, f, g",
        "setp.lt.ftz.f64 p, d, e",
        "setp.lt.ftz.bf16 p, h, i",
        "setp.lt.nand.s32 p, r, s, q",
        "setp.lt.and.s32 p, r, s",
        "setp.lt.s32 p, r, s, q",
        "setp.lt.f16x2 p, r, s",
        "setp.lt.u8 p, h, i",
        "setp.eq.s32 r, s, t",
        "set.lt.s64.s32 w, r, s",
        "set.lt.f32.f16 f, h, i",
        "set.lt.u16.s32 h, r, s",
        "set.lt.u32 r, s, t",
        "set.lt.f16.bf16 h, i, j",
        "set.lt.bf16x2.f16x2 r, s, t",
        "selp.f16 h, i, j, p",
        "selp.b32 r, s, t, u",
        "selp.pred p, q, p, q",
        "slct.b32.u32 r, s, t, u",
        "slct.ftz.b32.s32 r, s, t, u",
        "slct.b32 r, s, t, u",
    ] {
        refuses(code);
    }
}

#[test]
fn conversions() {
    for code in [
        "cvt.s32 r, s",
        "cvt.s32.f32 r, f",
        "cvt.rn.s32.f32 r, f",
        "cvt.rni.f32.s32 f, r",
        "cvt.f32.s32 f, r",
        "cvt.rni.s32.s64 r, w",
        "cvt.rn.f64.f32 d, f",
        "cvt.f32.f64 f, d",
        "cvt.f16.f32 h, f",
        "cvt.bf16.f32 h, f",
        "cvt.rn.f32.f32 f, g",
        "cvt.rni.f64.f32 d, f",
        "cvt.ftz.f64.f64 d, e",
        "cvt.ftz.s32.f64 r, d",
        "cvt.rna.f16.f32 h, f",
        "cvt.rn.relu.f32.f64 f, d",
        "cvt.rn.satfinite.f32.f64 f, d",
        "cvt.relu.s32.s64 r, w",
        "cvt.rn.sat.bf16.f32 h, f",
        "cvt.rm.bf16x2.f32 r, f, g",
        "cvt.rn.bf16x2.f32 r, f",
        "cvt.rn.bf16x2.f16x2 r, s",
        "cvt.rn.bf16x2.f64 r, d, e",
        "cvt.rn.e4m3x2.f32 h, f, g",
        "cvt.rz.satfinite.e4m3x2.f32 h, f, g",
        "cvt.rn.satfinite.e4m3.f32 h, f",
        "cvt.rn.bf16x2.e4m3x2 r, h",
        "cvt.rn.satfinite.e2m1x2.f32 h, f, g",
        "cvt.f32.tf32 f, r",
        "cvt.rp.tf32.f32 r, f",
        "cvt.rn.f32x2.f64 w, d",
        "cvt.pack.u16.s32 r, s, t",
        "cvt.pack.sat.u8.s32 r, s, t",
        "cvt.pack.sat.u16.s32.b32 r, s, t, u",
        "cvt.pack.sat.u32.s32 r, s, t",
        "cvt.pack.sat.u16.u32 r, s, t",
        "cvt.sat.s64.s32 w, r",
        "cvt.sat.u32.u32 r, s",
        "cvt.rn.bf16.u8 h, i",
        "cvt.rni.sat.s32.bf16 r, h",
        "cvt.sat.f32.bf16 f, h",
        "cvt.rn.sat.relu.f16.f32 h, f",
        "cvt.f16x2.e4m3x2 r, h",
        "cvt.rn.satfinite.tf32.f32 r, f",
        "cvt.rn.ftz.bf16x2.f32 r, f, g",
        "cvt.rna.relu.tf32.f32 r, f",
        "cvt.rna.ftz.tf32.f32 r, f",
    ] {
        refuses(code);
    }
}

#[test]
fn operands() {
    for code in [
        "add.s32 r, s",
        "add.s32 r, s, t, u",
        "add.s32 r, s, w",
        "add.s32 w, r, s",
        "add.s32 h, r, s",
        "add.s32 r, h, s",
        "add.s32 p, r, s",
        "add.s32 r, p, s",
        "add.s32 r, s, f",
        "add.f32 r, s, n",
        "add.f32 f, g, o",
        "add.f32 f, g, 1",
        "add.s32 r, s, 0f3F800000",
        "add.f16 h, i, f",
        "add.f64 d, e, f",
        "shl.b32 r, s, w",
        "shl.b64 w, x, y",
        "mul.wide.s32 r, s, t",
        "mad.wide.s32 w, r, s, t",
        "popc.b64 w, x",
        "cvt.u64.u32 r, s",
        "cvt.u32.u64 r, s",
        "cvt.rn.f32.f64 f, g",
        "setp.lt.s32 p, r, q",
        "and.pred p, q, r",
        "add.s32 1, r, s",
        "add.bf16 h, i, v",
    ] {
        refuses(code);
    }
    for code in [
        "add.s32 r, s, -1",
        "add.s32 n, o, r",
        "add.f32 r, s, 0f3F800000",
        "add.f32 f, g, 0",
        "add.f32 f, g, 1.5",
        "add.f64 d, e, 0d3FF0000000000000",
        "add.f16 h, i, v",
        "shl.b64 w, x, 3",
        "min.s16 h, i, -4",
        "mul.wide.s16 r, h, -3",
        "setp.ne.s32 p|_, r, 0",
        "selp.f32 f, 0f00000000, g, p",
        "cvt.u32.u8 r, h",
    ] {
        takes(code);
    }
}
