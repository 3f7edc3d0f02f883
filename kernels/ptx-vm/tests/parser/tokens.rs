//! Comments, strings, characters that begin nothing.

use crate::support::{
    HEADER, accepted, assert_directive_refused, assert_refused, assert_statement_refused, kernel,
    with_first,
};

#[test]
fn comments_of_both_kinds_are_white_space() {
    let statements = "/* one\n two */ ret // three /* four\n; /**/ /***/ // é ü \u{1F600}";
    with_first(statements, |instruction, _| {
        assert_eq!(instruction.parts, ["ret"]);
        assert_eq!(instruction.line, 7);
    });
}

#[test]
fn an_open_comment_is_an_error_where_it_begins() {
    let text = format!("{HEADER}\n/* opened\n\n");
    assert_refused(&text, 5, "expected `*/` at the end of the comment");
    assert_refused(&format!("{HEADER}/*"), 4, "expected `*/` at the end of the comment");
    assert_refused(&format!("{HEADER}/*/"), 4, "expected `*/` at the end of the comment");
}

#[test]
fn parts_of_a_name_may_begin_with_digits_and_hold_colons() {
    let statements =
        "cp.async.bulk.tensor.2d.shared::cluster.L2::128B.mbarrier::complete_tx::bytes _;";
    with_first(statements, |instruction, _| {
        let [.., dimension, space, hint, done] = instruction.parts.as_slice() else { panic!() };
        assert_eq!([*dimension, *space], ["2d", "shared::cluster"]);
        assert_eq!([*hint, *done], ["L2::128B", "mbarrier::complete_tx::bytes"]);
    });
}

#[test]
fn white_space_may_stand_between_parts_but_not_behind_a_dot() {
    with_first("mov .u32 \t%r1,%r2;", |instruction, _| {
        assert_eq!(instruction.parts, ["mov", "u32"]);
    });
    assert_statement_refused("mov. u32 %r1, %r2;", "unexpected character '.'");
}

#[test]
fn strings_keep_to_their_line() {
    let module = accepted(".version 8.0 .target sm_80 .file 3 \"a \\\"b\\\" \\\\c é\"");
    assert_eq!(module.files, [(3, "a \"b\" \\c é".to_owned())]);
    let message = "expected `\"` at the end of the string";
    assert_directive_refused(".file 1 \"open", message);
    assert_directive_refused(".file 1 \"open\\", message);
    assert_directive_refused(".file 1 \"open\\\n\"", message);
    assert_refused(&format!("{HEADER}.file 1 \"open\\"), 4, message);
}

#[test]
fn characters_that_begin_nothing_are_named() {
    for found in ['#', '\'', '`', '?', '\\', 'é', '\u{1F600}', '\0', '\u{7f}'] {
        let message = format!("unexpected character {found:?}");
        assert_statement_refused(&format!("ret; {found}"), &message);
    }
    assert_statement_refused("mov.u32 %, 1;", "expected a name behind `%`");
}

#[test]
fn line_ends_of_windows_are_white_space() {
    let text = kernel("mov.u32 %r1, 1;\nret;").replace('\n', "\r\n");
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    assert_eq!(body.instructions.iter().map(|each| each.line).collect::<Vec<_>>(), [6, 7]);
    assert_refused(
        &text.replace("ret", "!"),
        7,
        "expected an instruction, a label, a directive or `}`, found `!`",
    );
}
