//! Labels before and behind their use.

use ptx_vm::syntax::{LabelId, Operand};

use crate::support::{accepted, assert_refused, assert_statement_refused, kernel};

/// For each branch (by its index among the instructions) where it goes.
#[track_caller]
fn branches(statements: &str) -> Vec<(usize, usize)> {
    let text = kernel(statements);
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    let target = |operand: &Operand<'_>| match operand {
        Operand::Label(LabelId(id)) => Some(body.labels[*id as usize]),
        _ => None,
    };
    let all = body.instructions.iter().enumerate();
    all.filter_map(|(at, each)| Some((at, target(each.operands.first()?)?))).collect()
}

#[test]
fn backwards_forwards_and_to_the_end() {
    assert_eq!(branches("A: x; bra A; bra B; x; B: x; bra END; END:"), [(1, 0), (2, 4), (5, 6)]);
    assert_eq!(branches("bra A; A: B: C: bra C; bra A;"), [(0, 1), (1, 1), (2, 1)]);
}

#[test]
fn labels_may_stand_beside_braces() {
    assert_eq!(branches("bra A; A: { x; bra B; B: } x; C: { } bra C;"), [(0, 1), (2, 3), (4, 4)]);
}

#[test]
fn an_inner_label_hides_an_outer_one_wherever_it_stands() {
    // As ptxas has it: a label is known in all of its scope, also before it.
    assert_eq!(branches("A: x; { bra A; x; A: x; } bra A;"), [(1, 3), (4, 0)]);
    assert_eq!(branches("{ bra A; { bra A; { bra A; } A: x; } } A: x;"), [(0, 4), (1, 3), (2, 3)]);
    assert_eq!(branches("{ A: bra A; } { A: bra A; }"), [(0, 0), (1, 1)]);
}

#[test]
fn an_inner_scope_sees_the_labels_around_it() {
    assert_eq!(branches("A: { { { bra A; bra B; } } } B:"), [(0, 0), (1, 2)]);
    assert_eq!(branches("bra B; { bra B; } { bra B; } B:"), [(0, 3), (1, 3), (2, 3)]);
}

#[test]
fn an_outer_scope_does_not_see_inner_labels() {
    let message = "`A` is not declared: no register, variable, function or label here";
    assert_statement_refused("bra A; { A: }", message);
    assert_statement_refused("{ A: } bra A;", message);
    assert_statement_refused("{ { A: } { bra A; } }", message);
}

#[test]
fn the_first_use_of_a_lost_label_is_blamed() {
    let text = kernel("x;\n{ bra B; }\nbra A;\n{ { bra B; } }\nbra C;");
    let message = "`B` is not declared: no register, variable, function or label here";
    assert_refused(&text, 7, message);
}

#[test]
fn a_label_stands_once_in_a_scope() {
    assert_statement_refused("A: x; A: x;", "label `A` stands twice in one scope");
    assert_statement_refused("bra A; A: A:", "label `A` stands twice in one scope");
}

#[test]
fn two_functions_do_not_share_labels() {
    let message = "`A` is not declared: no register, variable, function or label here";
    let text = kernel("A: bra A;") + ".func f() { bra A; }\n";
    assert_refused(&text, 8, message);
    let text = kernel("A: bra A;") + ".func f() { A: bra A; }\n";
    assert_eq!(accepted(&text).functions.len(), 2);
}
