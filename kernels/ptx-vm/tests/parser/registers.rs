//! Registers and the scopes they live in.

use ptx_vm::syntax::{Body, Operand, RegisterId, Symbol, Type};

use crate::support::{accepted, assert_statement_refused, kernel};

/// Kinds of the registers each instruction names, in order.
#[track_caller]
fn kinds(statements: &str) -> Vec<Vec<Type>> {
    let text = kernel(statements);
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    body.instructions
        .iter()
        .map(|each| each.operands.iter().map(|o| kind(body, o)).collect())
        .collect()
}

fn kind(body: &Body<'_>, operand: &Operand<'_>) -> Type {
    match operand {
        Operand::Register(RegisterId(id)) => body.registers[*id as usize].kind,
        other => panic!("no register: {other:?}"),
    }
}

#[test]
fn a_family_has_as_many_as_it_says() {
    assert_eq!(kinds(".reg .f64 %d<3>; a %d0, %d2;"), [[Type::F64, Type::F64]]);
    assert_statement_refused(
        ".reg .f64 %d<3>; a %d3;",
        "`%d3` is not declared and is no special register",
    );
    assert_statement_refused(
        ".reg .f64 %d<3>; a %d01;",
        "`%d01` is not declared and is no special register",
    );
    assert_statement_refused(
        ".reg .f64 %d<0>; a %d0;",
        "`%d0` is not declared and is no special register",
    );
}

#[test]
fn only_registers_in_use_are_numbered() {
    let text = kernel(".reg .b16 %h<1000000>; a %h999999, %h5; a %h5; .reg .pred x; a x;");
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    let registers: Vec<Type> = body.registers.iter().map(|each| each.kind).collect();
    assert_eq!(registers, [Type::B16, Type::B16, Type::Pred]);
    let operand = |at: usize, index: usize| &body.instructions[at].operands[index];
    assert_eq!(operand(0, 0), &Operand::Register(RegisterId(0)));
    assert_eq!(operand(0, 1), operand(1, 0));
    assert_eq!(operand(2, 0), &Operand::Register(RegisterId(2)));
}

#[test]
fn one_statement_declares_several() {
    let statements = ".reg .b16 a, b<2>, c; x a, b0, b1, c;";
    assert_eq!(kinds(statements), [[Type::B16; 4]]);
}

#[test]
fn an_inner_scope_shadows_and_ends() {
    let statements = ".reg .b16 a, b<3>; x a, b1;
        { .reg .b64 a; x a, b1; { .reg .f32 b<2>; x a, b1; x a, b2; } x a, b1; }
        { .reg .pred b1; x a, b1; x a, b2; } x a, b1;";
    let b16 = Type::B16;
    assert_eq!(
        kinds(statements),
        [
            [b16, b16],
            [Type::B64, b16],
            [Type::B64, Type::F32],
            [Type::B64, b16],
            [Type::B64, b16],
            [b16, Type::Pred],
            [b16, b16],
            [b16, b16],
        ]
    );
    let after = "{ .reg .b64 %inner; } x %inner;";
    assert_statement_refused(after, "`%inner` is not declared and is no special register");
}

#[test]
fn scopes_side_by_side_have_registers_of_their_own() {
    let text = kernel("{ .reg .pred p; x p; } { .reg .pred p; x p; }");
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    assert_eq!(body.registers.len(), 2);
    assert_ne!(body.instructions[0].operands, body.instructions[1].operands);
}

#[test]
fn a_register_hides_a_variable_of_the_module() {
    let text = kernel("x s; { .reg .b32 s; x s; }").replace(".entry", ".shared .b32 s;.entry");
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    let first = &body.instructions[0].operands;
    assert_eq!(first, &[Operand::Symbol { symbol: Symbol::Module(0), offset: 0 }]);
    assert!(matches!(body.instructions[1].operands[0], Operand::Register(_)));
}

#[test]
fn the_shorter_prefix_wins_where_families_overlap() {
    // `%r1` and `%r10` to `%r12`; `%r0` to `%r9` are of the kernel.
    let statements = ".reg .f64 %r1<3>; x %r12; x %r1; .reg .f32 %q<20>; .reg .b16 %q1<5>; x %q12;";
    assert_eq!(kinds(statements), [[Type::F64], [Type::B32], [Type::F32]]);
}

#[test]
fn one_scope_declares_a_name_once() {
    assert_statement_refused(".reg .b32 a; .reg .b64 a;", "`a` is declared twice");
    assert_statement_refused(".reg .b64 %r<3>;", "`%r<` is declared twice");
    assert_statement_refused(".reg .b64 %r5;", "`%r5` is declared twice");
    assert_statement_refused(".reg .b64 p;", "`p` is declared twice");
    assert_statement_refused(".shared .b32 a; .reg .b64 a;", "`a` is declared twice");
    assert_statement_refused(".reg .b64 _;", "`_` is no name for a variable");
    // Outside of what the family covers the name is free.
    assert_eq!(kinds(".reg .f64 %r10; x %r10;"), [[Type::F64]]);
}

#[test]
fn declarations_that_are_none() {
    assert_statement_refused(
        ".reg .b32 %x<1048577>;",
        "expected at most 1048576 registers, found 1048577",
    );
    assert_statement_refused(
        ".reg .b32 %x<4294967296>;",
        "expected how many registers, found `4294967296`",
    );
    assert_statement_refused(".reg .b32 %x<-1>;", "expected how many registers, found `-`");
    assert_statement_refused(".reg .b32 %x<5;", "expected `>`, found `;`");
    assert_statement_refused(".reg .b32 %x %y;", "expected `;`, found `%y`");
    assert_statement_refused(".reg .b32 ;", "expected the name of a register, found `;`");
    assert_statement_refused(".reg %x;", "expected the type of a register, found `%x`");
    assert_statement_refused(".reg .q32 x;", "expected the type of a register, found `.q32`");
    let vectors = "`.reg .v4` is not supported: declare the elements one by one";
    assert_statement_refused(".reg .v4 .f32 v;", vectors);
}

#[test]
fn a_component_of_a_register_is_refused() {
    let message = "`component of a register` is not supported: name the element";
    assert_statement_refused("vadd.u32.u32.u32 %r1, %r2.b0, %r3.h1;", message);
}

#[test]
fn a_guard_is_a_predicate() {
    let message = "expected a predicate register behind `@`, found";
    for found in ["%r1", "p", "%tid", "nothing", "1"] {
        assert_statement_refused(&format!("@{found} ret;"), &format!("{message} `{found}`"));
    }
    assert_statement_refused("@%p1 @%p2 ret;", "expected the name of an instruction, found `@`");
    assert_statement_refused("@!!%p1 ret;", &format!("{message} `!`"));
    for (statement, negated) in [("@%p1 ret;", false), ("@!%p1 ret;", true)] {
        crate::support::with_first(statement, |instruction, _| {
            assert_eq!(instruction.guard.map(|guard| guard.negated), Some(negated));
        });
    }
}
