//! Texts made to exhaust a parser: what nests is bounded, what counts is not stored.

use crate::support::{HEADER, accepted, assert_statement_refused, kernel};

#[test]
fn scopes_nest_up_to_a_bound() {
    let nested = |depth: usize| "{ ".repeat(depth) + &"} ".repeat(depth);
    accepted(&kernel(&nested(99)));
    let message = "expected at most 100 scopes inside each other, found `{`";
    assert_statement_refused(&nested(100), message);
    assert_statement_refused(&"{".repeat(1_000_000), message);
}

#[test]
fn parentheses_and_signs_nest_up_to_a_bound() {
    let parentheses = |depth: usize| format!("x {}1{};", "(".repeat(depth), ")".repeat(depth));
    accepted(&kernel(&parentheses(64)));
    let message = "expected at most 64 parentheses and signs, found";
    assert_statement_refused(&parentheses(65), &format!("{message} `1`"));
    assert_statement_refused(&parentheses(1_000_000), &format!("{message} `(`"));
    assert_statement_refused(&format!("x {}1;", "-".repeat(1_000_000)), &format!("{message} `-`"));
    assert_statement_refused(&format!("x {}1;", "~".repeat(66)), &format!("{message} `~`"));
}

#[test]
fn sections_and_attributes_nest_without_recursion() {
    let braces = "{".repeat(1_000_000) + &"}".repeat(1_000_000);
    accepted(&format!("{HEADER}.section .x {{ {braces} }}"));
    let parentheses = "(".repeat(1_000_000) + &")".repeat(1_000_000);
    accepted(&format!("{HEADER}.global .attribute({parentheses}) .b32 a;"));
}

#[test]
fn declared_registers_take_no_memory() {
    // 2^20 registers in each of 20 000 functions: 20 GB if they were stored, in a text of 800 kB.
    let function =
        |index: usize| format!(".func f{index} {{ .reg .b32 %r<1048576>; x %r1048575; }}\n");
    let text = HEADER.to_owned() + &(0..20_000).map(function).collect::<String>();
    let module = accepted(&text);
    let bodies = module.functions.iter().filter_map(|each| each.body.as_ref());
    assert!(bodies.clone().all(|body| body.registers.len() == 1));
    assert_eq!(bodies.count(), 20_000);
}

#[test]
fn extents_are_numbers_and_not_memory() {
    let text = format!("{HEADER}.global .b64 a[0xFFFFFFFFFFFFFFFF];");
    assert_eq!(accepted(&text).variables[0].bytes(), u64::MAX);
}

#[test]
fn lost_labels_climb_many_scopes_once() {
    // Each scope hands its names up: with the depth bounded the work is linear in the text.
    let mut text = String::new();
    for scope in 0..90 {
        text.push('{');
        for label in 0..300 {
            text += &format!("bra L{scope}_{label};");
        }
    }
    text += &"}".repeat(90);
    for scope in 0..90 {
        for label in 0..300 {
            text += &format!("L{scope}_{label}:");
        }
    }
    let text = kernel(&text);
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    assert!(body.labels.iter().all(|&place| place == 90 * 300));
    assert_eq!(body.labels.len(), 90 * 300);
}

#[test]
fn long_names_and_lines_are_cut_in_messages() {
    let name = format!("%{}", "n".repeat(100_000));
    let error = crate::support::refused(&kernel(&format!("x {name} {name};")));
    assert_eq!(error.text.len(), 200);
    assert!(error.message.len() < 200, "{}", error.message);
}
