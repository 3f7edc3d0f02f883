//! Integers, floats, constant expressions.

use ptx_vm::syntax::{Immediate, Operand};

use crate::support::{assert_statement_refused, with_first};

#[track_caller]
fn assert_value(spelling: &str, expected: Immediate) {
    let found = with_first(&format!("mov.b64 %rd1, {spelling};"), |instruction, _| {
        let [_, Operand::Immediate(value)] = instruction.operands.as_slice() else {
            panic!("{spelling}: {:?}", instruction.operands)
        };
        *value
    });
    assert_eq!(found, expected, "{spelling}");
}

#[track_caller]
fn assert_refused(spelling: &str, message: &str) {
    assert_statement_refused(&format!("mov.b64 %rd1, {spelling};"), message);
}

#[test]
fn integers_to_four_bases() {
    for (spelling, value) in [
        ("0", 0),
        ("7", 7),
        ("10U", 10),
        ("0777", 0o777),
        ("0x1fF", 0x1ff),
        ("0X1FU", 0x1f),
        ("0b101", 5),
        ("0B11U", 3),
        ("18446744073709551615", u64::MAX),
        ("0xFFFFFFFFFFFFFFFF", u64::MAX),
        ("WARP_SZ", 32),
    ] {
        assert_value(spelling, Immediate::Integer(value));
    }
}

#[test]
fn floats_by_bits_and_by_digits() {
    assert_value("0f3F800000", Immediate::F32(0x3f80_0000));
    assert_value("0Fff800001", Immediate::F32(0xff80_0001));
    assert_value("0d3FF0000000000000", Immediate::F64(0x3ff0_0000_0000_0000));
    assert_value("0D7ff8000000000000", Immediate::F64(0x7ff8_0000_0000_0000));
    // 0.1 and 1e22 are the decimals that naive readers round wrongly.
    assert_value("0.1", Immediate::F64(0x3fb9_9999_9999_999a));
    assert_value("1e22", Immediate::F64(0x4480_f0cf_064d_d592));
    assert_value("1.", Immediate::F64(0x3ff0_0000_0000_0000));
    assert_value("2.5E-1", Immediate::F64(0x3fd0_0000_0000_0000));
    assert_value("0e+5", Immediate::F64(0));
    assert_value("-1.5", Immediate::F64(0xbff8_0000_0000_0000));
}

#[test]
fn expressions_wrap_in_64_bits() {
    for (spelling, value) in [
        ("-1", -1i64),
        ("(-1)", -1),
        ("-(-1)", 1),
        ("+5", 5),
        ("~0", -1),
        ("~5 & 0xff", 0xfa),
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("10 - 3 - 2", 5),
        ("1 << 4 + 1", 32),
        ("1 | 6 ^ 3 & 2", 5),
        ("WARP_SZ * 4", 128),
        ("1 << 64", 0),
        ("1 << -1", 0),
        ("0xffffffffffffffff + 1", 0),
        ("0x8000000000000000 * 2", 0),
    ] {
        assert_value(spelling, Immediate::Integer(value as u64));
    }
}

#[test]
fn bad_numbers_are_quoted() {
    for spelling in ["08", "0b2", "0x", "0b", "12ab", "1.2.3", "1e", "5u", "1.5f", "0xU", "1e999"] {
        assert_refused(spelling, &format!("expected a number, found `{spelling}`"));
    }
    assert_refused("0f3F8", "expected 8 hexadecimal digits behind `0f`, found `3F8`");
    assert_refused("0fG0000000", "expected 8 hexadecimal digits behind `0f`, found `G0000000`");
    assert_refused("0f3F8000000", "expected 8 hexadecimal digits behind `0f`, found `3F8000000`");
    assert_refused("0D1", "expected 16 hexadecimal digits behind `0D`, found `1`");
    let wide = "18446744073709551616";
    assert_refused(wide, &format!("expected an integer of at most 64 bits, found `{wide}`"));
    let long = "9".repeat(100);
    let message = format!("expected an integer of at most 64 bits, found `{}...`", &long[..60]);
    assert_refused(&long, &message);
}

#[test]
fn bad_expressions_name_what_they_stumble_on() {
    assert_refused("1 + 0f3F800000", "expected no operator beside a float, found `+`");
    assert_refused("-0f3F800000", "expected an integer constant, found `-`");
    assert_refused("~1.5", "expected an integer constant, found `~`");
    assert_refused("(1", "expected `)`, found `;`");
    assert_refused("1 +", "expected an integer constant, found `;`");
    assert_refused("7 / 2", "expected `,` or `;`, found `/`");
    assert_refused("7 >> 2", "expected `,` or `;`, found `>`");
    assert_refused("-%r1", "expected an integer constant, found `%r1`");
}
