//! Kernels, device functions and their parameters.

use ptx_vm::syntax::{Operand, RegisterId, Symbol, Type};

use crate::support::{HEADER, accepted, assert_directive_refused, assert_refused};

fn module(directives: &str) -> String {
    format!("{HEADER}{directives}\n")
}

#[test]
fn parameters_of_a_kernel() {
    let text = module(
        ".visible .entry k(.param .u64 .ptr .global .align 16 a, .param .align 8 .b8 b[24], .param .u64 .ptr c,
        .param .f32 d, .param .u64 .ptr .align 1 e) { ret; }",
    );
    let module = accepted(&text);
    let function = &module.functions[0];
    assert!(function.entry && function.returns.is_empty());
    let shapes: Vec<_> =
        function.parameters.iter().map(|p| (p.name, p.element, p.length, p.align)).collect();
    assert_eq!(
        shapes,
        [
            ("a", Type::U64, 1, 8),
            ("b", Type::B8, 24, 8),
            ("c", Type::U64, 1, 8),
            ("d", Type::F32, 1, 4),
            ("e", Type::U64, 1, 8),
        ]
    );
}

#[test]
fn a_function_takes_and_gives_parameters() {
    let text = module(
        ".func (.param .align 8 .b8 o[24]) f(.param .b32 a, .param .b32 b) { st [o+8], a; ld [b]; ret; }",
    );
    let module = accepted(&text);
    let function = &module.functions[0];
    assert!(!function.entry);
    assert_eq!((function.returns[0].name, function.returns[0].bytes()), ("o", 24));
    let body = function.body.as_ref().expect("a body");
    let parameter = Operand::Symbol { symbol: Symbol::Parameter(0), offset: 0 };
    assert_eq!(body.instructions[0].operands[1], parameter);
    let base = ptx_vm::syntax::Base::Symbol(Symbol::Return(0));
    assert_eq!(body.instructions[0].operands[0], Operand::Address { base, offset: 8 });
}

#[test]
fn a_function_takes_and_gives_registers() {
    let text =
        module(".func (.reg .f64 o) f(.reg .b32 a, .param .b32 b, .reg .pred c) { x a, o; }");
    let module = accepted(&text);
    let function = &module.functions[0];
    let registers: Vec<_> = function.parameters.iter().map(|p| p.register.map(|id| id.0)).collect();
    assert_eq!(registers, [Some(1), None, Some(2)]);
    assert_eq!(function.returns[0].register, Some(RegisterId(0)));
    let body = function.body.as_ref().expect("a body");
    let kinds: Vec<Type> = body.registers.iter().map(|each| each.kind).collect();
    assert_eq!(kinds, [Type::F64, Type::B32, Type::Pred]);
    let operands = [1, 0].map(|id| Operand::Register(RegisterId(id)));
    assert_eq!(body.instructions[0].operands, operands);
}

#[test]
fn both_lists_may_be_missing() {
    let text = module(".entry a { } .func b { } .func c() .noreturn { } .entry d() { } .func e ;");
    let module = accepted(&text);
    assert_eq!(module.functions.len(), 5);
    assert!(module.functions.iter().all(|each| each.parameters.is_empty()));
}

#[test]
fn directives_that_tune() {
    let text = module(
        ".entry k() .maxntid 256 .minnctapersm 2 .maxnreg 64 .pragma \"nounroll\"; .explicitcluster .reqnctapercluster 2, 1
        .maxclusterrank 8 .maxnctapersm 3 .abi_preserve 4 .attribute(.unified(1, 2)) { }
        .entry j() .reqntid 16, 8, 2 .noreturn { }",
    );
    let module = accepted(&text);
    let [k, j] = module.functions.as_slice() else { panic!("two kernels") };
    assert_eq!((k.most_threads, k.exact_threads), (Some([256, 1, 1]), None));
    assert_eq!((k.least_blocks, k.most_registers, k.cluster), (Some(2), Some(64), Some([2, 1, 1])));
    assert_eq!((j.most_threads, j.exact_threads), (None, Some([16, 8, 2])));
}

#[test]
fn bad_tuning() {
    let number = "expected a number from 1, found";
    assert_directive_refused(".entry k() .maxntid 0 { }", &format!("{number} `0`"));
    assert_directive_refused(".entry k() .maxntid 8, 0 { }", &format!("{number} `0`"));
    assert_directive_refused(".entry k() .maxntid { }", &format!("{number} `{{`"));
    assert_directive_refused(".entry k() .maxnreg -1 { }", &format!("{number} `-`"));
    let end = "expected `{`, `;` or a directive of a function, found";
    assert_directive_refused(".entry k() .reqntid 1, 2, 3, 4 { }", &format!("{end} `,`"));
    assert_directive_refused(".entry k() .fast { }", &format!("{end} `.fast`"));
    assert_directive_refused(".entry k() 5", &format!("{end} `5`"));
    assert_directive_refused(
        ".entry k() .blocksareclusters { }",
        "`.blocksareclusters` is not supported: launch blocks, not clusters",
    );
}

#[test]
fn bad_prototypes() {
    assert_directive_refused(".entry ( ) { }", "expected the name of a function, found `(`");
    assert_directive_refused(
        ".func (.param .b32 a) { }",
        "expected the name of a function, found `{`",
    );
    assert_directive_refused(".entry k(.reg .b32 a) { }", "expected a parameter, found `.reg`");
    assert_directive_refused(".entry k(.b32 a) { }", "expected a parameter, found `.b32`");
    assert_directive_refused(".entry k(.param .b32 a,) { }", "expected a parameter, found `)`");
    assert_directive_refused(".entry k(.param .b32 a { }", "expected `)`, found `{`");
    assert_directive_refused(
        ".entry k(.param .b32) { }",
        "expected the name of a variable, found `)`",
    );
    assert_directive_refused(".entry k(.param .b32 _) { }", "`_` is no name for a variable");
    assert_directive_refused(
        ".func k(.reg .b32) { }",
        "expected the name of a register, found `)`",
    );
    assert_directive_refused(
        ".func k(.reg .b33 a) { }",
        "expected the type of a register, found `.b33`",
    );
    assert_directive_refused(".entry k(.param .b32 a, .param .b32 a) { }", "`a` is declared twice");
    assert_directive_refused(".func (.param .b32 a) k(.reg .b32 a) { }", "`a` is declared twice");
}

#[test]
fn a_declaration_and_its_definition_agree() {
    let text = module(
        ".func (.param .b32 o) f(.param .b32 a); .func (.param .b32 p) f(.param .b32 b) { x b; }",
    );
    let module = accepted(&text);
    assert_eq!(module.functions.len(), 1);
    assert_eq!(module.functions[0].parameters[0].name, "b");
    let otherwise = "`f` was declared otherwise in line 4";
    assert_directive_refused(".func f(.param .b32 a); .func f(.param .b64 a) { }", otherwise);
    assert_directive_refused(".func f(.param .b32 a); .func f() { }", otherwise);
    assert_directive_refused(".func f(.param .b32 a); .func f(.reg .b32 a) { }", otherwise);
    assert_directive_refused(".func f(); .entry f() { }", otherwise);
    assert_directive_refused(".func f() { } .func f() { }", "`f` is declared twice");
    assert_directive_refused(".global .b32 f; .func f() { }", "`f` is declared twice");
}

#[test]
fn an_open_body_is_an_error_where_it_begins() {
    let message = "expected `}` at the end of the function";
    assert_refused(&module("\n.entry k()\n{ ret;\n"), 6, message);
    assert_refused(&module(".entry k() { { ret; }\n"), 4, message);
    assert_refused(
        &module(".entry k() { ret; } }\n"),
        4,
        "expected a directive of module scope, found `}`",
    );
}
