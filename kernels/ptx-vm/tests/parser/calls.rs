//! Calls of functions.

use ptx_vm::syntax::{Operand, RegisterId, Symbol};

use crate::support::{HEADER, accepted, assert_refused, kernel};

/// A kernel behind a device function `f` with one result and two parameters.
fn text(statements: &str) -> String {
    let function = ".func (.param .b32 o) f(.param .b32 a, .param .b64 b);\n.entry";
    kernel(statements).replace(".entry", function)
}

#[track_caller]
fn assert_call_refused(statements: &str, message: &str) {
    assert_refused(&text(statements), 7, message);
}

fn body<'a>(id: u32) -> Operand<'a> {
    Operand::Symbol { symbol: Symbol::Body(id), offset: 0 }
}

#[test]
fn results_name_and_arguments() {
    let text = text(
        "{ .param .b32 param0; .param .b64 param1; .param .b32 retval0;
        call.uni (retval0), \n f, \n ( param0, \n param1 ); } call f; call (_), f, (5, %r1); call f, (); call (), f;",
    );
    let module = accepted(&text);
    let instructions = &module.functions[1].body.as_ref().expect("a body").instructions;
    let operands: Vec<&[Operand<'_>]> =
        instructions.iter().map(|each| &each.operands[..]).collect();
    let f = Operand::Symbol { symbol: Symbol::Function(0), offset: 0 };
    let list = Operand::List;
    assert_eq!(instructions[0].parts, ["call", "uni"]);
    assert_eq!(instructions[0].line, 8);
    assert_eq!(operands[0], [list(vec![body(2)]), f.clone(), list(vec![body(0), body(1)])]);
    assert_eq!(operands[1], std::slice::from_ref(&f));
    let five = Operand::Immediate(ptx_vm::syntax::Immediate::Integer(5));
    let arguments = list(vec![five, Operand::Register(RegisterId(0))]);
    assert_eq!(operands[2], [list(vec![Operand::Sink]), f.clone(), arguments]);
    assert_eq!(operands[3], [f.clone(), list(vec![])]);
    assert_eq!(operands[4], [list(vec![]), f]);
}

#[test]
fn a_function_may_call_itself_and_one_that_is_declared_only() {
    let text =
        format!("{HEADER}.func g;\n.func f {{ call f; call g; ret; }}\n.func g {{ call f; }}\n");
    let module = accepted(&text);
    let names: Vec<&str> = module.functions.iter().map(|each| each.name).collect();
    assert_eq!(names, ["g", "f"]);
    assert!(module.functions.iter().all(|each| each.body.is_some()));
}

#[test]
fn calls_of_what_is_no_function() {
    assert_call_refused("call g;", "`g` is no function declared before this call");
    assert_call_refused("call p;", "`p` is no function declared before this call");
    assert_call_refused("call (%r1), 5, (%r2);", "expected the name of a function, found `5`");
}

#[test]
fn calls_by_address() {
    let text = text(
        "one: .callprototype (.param .b32 _) _ (.param .align 8 .b8 _[16], .param .b64 _) .noreturn;
        two: .callprototype _ (); call (%r1), %rd1, (%r2, %r2), one; call %rd1, two; call %rd1, (), two;",
    );
    let module = accepted(&text);
    let body = module.functions[1].body.as_ref().expect("a body");
    let sizes = |list: &[ptx_vm::syntax::Variable<'_>]| {
        list.iter().map(ptx_vm::syntax::Variable::bytes).collect::<Vec<_>>()
    };
    let found: Vec<_> =
        body.prototypes.iter().map(|p| (sizes(&p.returns), sizes(&p.parameters))).collect();
    assert_eq!(found, [(vec![4], vec![16, 8]), (vec![], vec![])]);
    let [rd1, r1, r2] = [1, 0, 2].map(|id| Operand::Register(RegisterId(id)));
    let operands: Vec<_> = body.instructions.iter().map(|each| &each.operands[..]).collect();
    let list = Operand::List;
    let [one, two] = [0, 1].map(Operand::Prototype);
    assert_eq!(operands[0], [list(vec![r1]), rd1.clone(), list(vec![r2.clone(), r2]), one]);
    assert_eq!(operands[1], [rd1.clone(), two.clone()]);
    assert_eq!(operands[2], [rd1, list(vec![]), two]);
}

#[test]
fn calls_by_address_out_of_shape() {
    assert_call_refused(
        "call (%r1), %rd1, (%r2), p;",
        "`p` is no `.callprototype` declared before",
    );
    let missing = "expected `,` and the name of a `.callprototype`, found `;`";
    assert_call_refused("call %rd1;", missing);
    assert_call_refused("call %rd1, (%r2);", missing);
    assert_call_refused("p: .callprototype _ (); p: .callprototype _ ();", "`p` is declared twice");
    assert_call_refused(
        "p: .callprototype _ (.reg .b32 _);",
        "expected a .param parameter of a prototype, found `.reg`",
    );
    assert_call_refused(
        "p: .callprototype _ () .local;",
        "expected `;` or a directive of a prototype, found `.local`",
    );
    assert_call_refused(
        ".callprototype _ ();",
        "expected a name and `:` before `.callprototype`, found `.callprototype`",
    );
    assert_call_refused(
        "targets: .calltargets f;",
        "`.calltargets` is not supported: name a .callprototype",
    );
}

#[test]
fn lists_out_of_shape() {
    assert_call_refused("call (%r1) f;", "expected `,`, found `f`");
    assert_call_refused(
        "call (%r1), f, %r2;",
        "expected `(` before the arguments of a call, found `%r2`",
    );
    assert_call_refused("call f, (%r1,);", "expected an operand, found `)`");
    assert_call_refused("call f, (%r1;", "expected `,` or `)`, found `;`");
    assert_call_refused("call f, (%r1), g;", "expected `;`, found `,`");
    assert_call_refused("call f, ((%r1));", "expected an integer constant, found `%r1`");
    assert_call_refused("call f, ([%r1]);", "expected an operand, found `[`");
}
