//! Header, files, lines, sections and what is refused by name.

use ptx_vm::syntax::Operand;

use crate::support::{
    HEADER, accepted, assert_directive_refused, assert_refused, assert_statement_refused, kernel,
    refused,
};

#[test]
fn the_header() {
    let module = accepted(".version 8.10 .target sm_90a, debug, texmode_independent");
    assert_eq!(module.version, (8, 10));
    assert_eq!(module.target, ["sm_90a", "debug", "texmode_independent"]);
    assert_refused("", 1, "expected `.version`, found the end of the text");
    assert_refused(".target sm_80", 1, "expected `.version`, found `.target`");
    assert_refused(".version 8", 1, "expected a version such as 9.0, found `8`");
    assert_refused(".version 8.x", 1, "expected a number, found `8.x`");
    assert_refused(".version x", 1, "expected a version such as 9.0, found `x`");
    assert_refused(
        ".version 8.0\n.entry",
        2,
        "expected `.target` behind `.version`, found `.entry`",
    );
    assert_refused(".version 8.0\n.target 80", 2, "expected a target such as sm_90a, found `80`");
    assert_refused(
        ".version 8.0\n.target sm_80,",
        2,
        "expected a target or one of its options, found the end of the text",
    );
}

#[test]
fn addresses_have_64_bits() {
    assert_eq!(accepted(".version 8.0 .target sm_80 .address_size 64").functions.len(), 0);
    for found in ["32", "x"] {
        let text = format!(".version 8.0\n.target sm_80\n.address_size {found}");
        assert_refused(&text, 3, &format!("expected an address size of 64, found `{found}`"));
    }
}

#[test]
fn files() {
    let text = format!("{HEADER}.file 1 \"a.cu\" .file 22 \"b.cuh\", 1700000000, 1234");
    let files = [(1, "a.cu".to_owned()), (22, "b.cuh".to_owned())];
    assert_eq!(accepted(&text).files, files);
    assert_directive_refused(".file \"a\"", "expected the number of a file, found `\"a\"`");
    assert_directive_refused(".file 1 a", "expected the name of a file in quotes, found `a`");
    assert_directive_refused(".file 1 \"a\", x", "expected the time of a file, found `x`");
    assert_directive_refused(".file 1 \"a\", 1, x", "expected the size of a file, found `x`");
}

#[test]
fn lines_hold_until_the_next_one_and_the_end_of_the_function() {
    let text = kernel(
        "a; .loc 1 5 3\n b; { .loc 2 7 1, function_name $L__info_string0+12, inlined_at 1 6 2\n c; } d; \
         .loc 3 9 4, inlined_at 2 7 1\n e; .loc 3 9 4, inlined_at 2 7 2\n f; .loc 2 7 1\n g; \
         .loc 3 9 4, inlined_at 2 7 1\n h;",
    ) + ".func f { e; }";
    let module = accepted(&text);
    let sources: Vec<_> = module
        .functions
        .iter()
        .flat_map(|f| f.body.as_ref().expect("a body").instructions.iter())
        .map(|each| each.source.map(|source| (source.at, source.inlined_at)))
        .collect();
    let called = Some(((2, 7), Some((1, 6))));
    // `e` was inlined into what was inlined at 1 6; `f` into another place, `h` into a function of its own.
    let [e, f, h] = [(1, 6), (2, 7), (2, 7)].map(|place| Some(((3, 9), Some(place))));
    let expected =
        [None, Some(((1, 5), None)), called, called, e, f, Some(((2, 7), None)), h, None];
    assert_eq!(sources, expected);
}

#[test]
fn bad_lines() {
    assert_statement_refused(".loc x", "expected the number of a file, found `x`");
    assert_statement_refused(".loc 1 x", "expected a line, found `x`");
    assert_statement_refused(".loc 1 1 x", "expected a column, found `x`");
    let what = "expected `function_name` or `inlined_at`, found";
    assert_statement_refused(".loc 1 1 1, x", &format!("{what} `x`"));
    assert_statement_refused(".loc 1 1 1, 5", &format!("{what} `5`"));
    assert_statement_refused(
        ".loc 1 1 1, function_name 5",
        "expected the label of a name, found `5`",
    );
    assert_statement_refused(".loc 1 1 1, inlined_at 1 1;", "expected a column, found `;`");
}

#[test]
fn sections_are_skipped() {
    let section =
        ".section .debug_info { .b8 1,2\n{ x: } .b64 $L__x+12\n.b32 .debug_abbrev } .global .b8 a;";
    let text = format!("{HEADER}{section}");
    assert_eq!(accepted(&text).variables.len(), 1);
    let message = "expected `}` to the `{` of this line";
    assert_refused(&format!("{HEADER}\n.section .debug_info\n{{ {{ }}\n"), 6, message);
    assert_directive_refused(".section { }", "expected the name of a section, found `{`");
    assert_directive_refused(".section .x .y", "expected `{`, found `.y`");
}

#[test]
fn pragmas_are_of_no_account() {
    let text = format!(
        "{HEADER}.pragma \"a\";{}",
        kernel(".pragma \"nounroll\", \"b\"; ret;").replace(HEADER, "")
    );
    assert_eq!(accepted(&text).functions.len(), 1);
    assert_directive_refused(
        ".pragma nounroll;",
        "expected a string behind `.pragma`, found `nounroll`",
    );
    assert_directive_refused(".pragma \"a\", b;", "expected a string behind `,`, found `b`");
    assert_statement_refused(".pragma \"a\" ret;", "expected `;`, found `ret`");
}

#[test]
fn a_pragma_tells_which_bytes_of_the_next_load_are_used() {
    let text = kernel(
        "a; .pragma \"nounroll\", \"used_bytes_mask 4095\"; L: b; c; .pragma \"used_bytes_mask 0xf0\"; d;",
    );
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    let used: Vec<_> = body.instructions.iter().map(|each| each.used_bytes).collect();
    assert_eq!(used, [None, Some(4095), None, Some(0xf0)]);
    for wrong in ["", " x", " -1", " 4294967296"] {
        assert_statement_refused(
            &format!(".pragma \"used_bytes_mask{wrong}\";"),
            &format!(
                "expected a number behind used_bytes_mask, found `\"used_bytes_mask{wrong}\"`"
            ),
        );
    }
}

#[test]
fn what_is_refused_by_name() {
    let name = "is not supported: call the function by its own name";
    assert_directive_refused(".alias a, b;", &format!("`.alias` {name}"));
    let targets = "`.calltargets` is not supported: name a .callprototype";
    assert_statement_refused(".calltargets f, g;", targets);
}

#[test]
fn branch_targets_are_lists_of_labels() {
    let text = kernel("list: .branchtargets A, B, A;\nA: brx.idx 1, list;\nB: ret;");
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    let at: Vec<usize> = body.targets[0].iter().map(|id| body.labels[id.0 as usize]).collect();
    assert_eq!(at, [0, 1, 0]);
    assert_eq!(body.instructions[0].operands[1], Operand::Targets(0));
    let unknown = "`list` is no `.branchtargets` list declared before";
    assert_statement_refused("A: brx.idx 1, list; list: .branchtargets A;", unknown);
    assert_statement_refused(
        "A: list: .branchtargets A; list: .branchtargets A;",
        "`list` is declared twice",
    );
    assert_statement_refused(
        ".branchtargets A;",
        "expected a name and `:` before `.branchtargets`, found `.branchtargets`",
    );
    assert_statement_refused("list: .branchtargets;", "expected a label to branch to, found `;`");
    assert_statement_refused(
        "list: .branchtargets A;",
        "`A` is not declared: no register, variable, function or label here",
    );
}

#[test]
fn what_is_no_directive() {
    let scope = "expected a directive of module scope, found";
    for found in ["ret", "}", ".loc", ".version", "5"] {
        assert_directive_refused(found, &format!("{scope} `{found}`"));
    }
    let body = "expected a directive of a function's body, found";
    for found in [".file", ".entry", ".align", ".extern", ".section"] {
        assert_statement_refused(found, &format!("{body} `{found}`"));
    }
}

#[test]
fn an_error_shows_its_line() {
    let error = refused(&kernel("x;\n   add.s32   %r1, %q;   // why\n"));
    assert_eq!(
        error.to_string(),
        "PTX line 7: `%q` is not declared and is no special register: add.s32   %r1, %q;   // why"
    );
}
