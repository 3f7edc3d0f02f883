//! Every form of an operand.

use ptx_vm::syntax::{Base, Body, Immediate, Operand, RegisterId, Symbol};

use crate::support::{accepted, assert_refused, assert_statement_refused, kernel};

/// Asserts what the operands of one instruction are; `r0`, `r1`, ... are numbered as they are named.
#[track_caller]
fn assert_operands(statement: &str, expected: &[Operand<'_>]) {
    let text = kernel(&format!(".shared .b32 s[9]; {statement}"));
    let module = accepted(&text);
    let body: &Body<'_> = module.functions[0].body.as_ref().expect("a body");
    assert_eq!(body.instructions[0].operands, expected, "{statement}");
}

fn register<'a>(id: u32) -> Operand<'a> {
    Operand::Register(RegisterId(id))
}

fn integer<'a>(value: i64) -> Operand<'a> {
    Operand::Immediate(Immediate::Integer(value as u64))
}

fn at<'a>(id: u32, offset: i64) -> Operand<'a> {
    Operand::Address { base: Base::Register(RegisterId(id)), offset }
}

const S: Symbol = Symbol::Body(0);
const P: Symbol = Symbol::Parameter(0);

#[test]
fn registers_constants_and_nothing() {
    assert_operands("ret;", &[]);
    assert_operands("x %r1, -3, %r1, _;", &[register(0), integer(-3), register(0), Operand::Sink]);
    assert_operands("x !%p1;", &[Operand::Not(RegisterId(0))]);
    assert_operands("x 0f3F800000;", &[Operand::Immediate(Immediate::F32(0x3f80_0000))]);
}

#[test]
fn pairs() {
    let pair = |a, b| Operand::Pair(Box::new((a, b)));
    assert_operands("x %p1|%p2, %r1;", &[pair(register(0), register(1)), register(2)]);
    assert_operands("x %p1|_;", &[pair(register(0), Operand::Sink)]);
    assert_operands("x _|%p1;", &[pair(Operand::Sink, register(0))]);
    assert_statement_refused("x %p1|5;", "expected two registers beside `|`, found `5`");
    assert_statement_refused("x %p1|%tid;", "expected two registers beside `|`, found `%tid`");
    assert_statement_refused("x p|%p1;", "expected two registers beside `|`, found `%p1`");
    assert_statement_refused("x %p1|%p2|%p3;", "expected `,` or `;`, found `|`");
}

#[test]
fn vectors() {
    let vector = Operand::Vector(vec![register(0), Operand::Sink, integer(7), register(1)]);
    assert_operands("x {%r1, _, 7, %r2}, %r1;", &[vector, register(0)]);
    assert_operands("x { %r1 };", &[Operand::Vector(vec![register(0)])]);
    assert_statement_refused("x {};", "expected an operand, found `}`");
    assert_statement_refused("x {%r1, };", "expected an operand, found `}`");
    assert_statement_refused("x {%r1;", "expected `,` or `}`, found `;`");
    assert_statement_refused("x {{%r1}};", "expected an operand, found `{`");
    assert_statement_refused("x {[%r1]};", "expected an operand, found `[`");
}

#[test]
fn addresses() {
    assert_operands("x [%rd1];", &[at(0, 0)]);
    assert_operands("x [%rd1+16];", &[at(0, 16)]);
    assert_operands("x [%rd1+-16];", &[at(0, -16)]);
    assert_operands("x [ %rd1 - 16 ];", &[at(0, -16)]);
    assert_operands("x [%rd1+4-2];", &[at(0, 2)]);
    assert_operands("x [%rd1+(4*2)];", &[at(0, 8)]);
    assert_operands("x [%rd1+4*2];", &[at(0, 8)]);
    assert_operands("x [s];", &[Operand::Address { base: Base::Symbol(S), offset: 0 }]);
    assert_operands("x [s+4];", &[Operand::Address { base: Base::Symbol(S), offset: 4 }]);
    assert_operands("x [p+0];", &[Operand::Address { base: Base::Symbol(P), offset: 0 }]);
    assert_operands("x [16];", &[Operand::Address { base: Base::None, offset: 16 }]);
    assert_operands("x [-8];", &[Operand::Address { base: Base::None, offset: -8 }]);
}

#[test]
fn bad_addresses() {
    let inside = "expected a register, a variable or an integer inside `[ ]`, found";
    for found in ["%tid", "nowhere", "k", "]", "0f3F800000", "[", "_"] {
        assert_statement_refused(&format!("x [{found}];"), &format!("{inside} `{found}`"));
    }
    assert_statement_refused("x [%rd1+%r1];", "expected an integer constant, found `%r1`");
    assert_statement_refused("x [%rd1+1.5];", "expected an integer offset, found `1.5`");
    assert_statement_refused("x [4+%rd1];", "expected an integer constant, found `%rd1`");
    assert_statement_refused("x [%rd1;", "expected `]`, found `;`");
    assert_statement_refused("x [%rd1, %r1];", "expected `{`, found `%r1`");
    assert_statement_refused("x s[4];", "expected `,` or `;`, found `[`");
    assert_statement_refused("x %r1+4;", "expected `,` or `;`, found `+`");
}

#[test]
fn tensors_and_several_addresses() {
    let tensor = |id, offset, coordinates| Operand::Tensor {
        base: Base::Register(RegisterId(id)),
        offset,
        coordinates,
    };
    assert_operands(
        "x [%rd1], [%rd2, {%r1, 0}], [%r3+8], 5;",
        &[at(0, 0), tensor(1, 0, vec![register(2), integer(0)]), at(3, 8), integer(5)],
    );
    assert_operands("x [%rd1+64, {%r1}];", &[tensor(0, 64, vec![register(1)])]);
    let base = Base::Symbol(P);
    assert_operands(
        "x [p, {1}];",
        &[Operand::Tensor { base, offset: 0, coordinates: vec![integer(1)] }],
    );
    assert_statement_refused("x [%rd1, {%r1}, 3];", "expected `]`, found `,`");
    assert_statement_refused("x [%rd1, {%r1]};", "expected `,` or `}`, found `]`");
}

#[test]
fn names_of_variables_are_addresses() {
    assert_operands("x s;", &[Operand::Symbol { symbol: S, offset: 0 }]);
    assert_operands("x s+4, %r1;", &[Operand::Symbol { symbol: S, offset: 4 }, register(0)]);
    assert_operands("x p;", &[Operand::Symbol { symbol: P, offset: 0 }]);
    assert_operands("x k;", &[Operand::Symbol { symbol: Symbol::Function(0), offset: 0 }]);
}

#[test]
fn special_registers() {
    for name in [
        "%tid",
        "%tid.x",
        "%ntid.y",
        "%ctaid.z",
        "%nctaid.w",
        "%laneid",
        "%warpid",
        "%nwarpid",
        "%smid",
        "%nsmid",
        "%gridid",
        "%clusterid.x",
        "%nclusterid.y",
        "%cluster_ctaid.z",
        "%cluster_nctaid.x",
        "%cluster_ctarank",
        "%cluster_nctarank",
        "%is_explicit_cluster",
        "%lanemask_eq",
        "%lanemask_le",
        "%lanemask_lt",
        "%lanemask_ge",
        "%lanemask_gt",
        "%clock",
        "%clock_hi",
        "%clock64",
        "%pm0",
        "%pm7",
        "%pm3_64",
        "%envreg0",
        "%envreg31",
        "%globaltimer",
        "%globaltimer_lo",
        "%globaltimer_hi",
        "%reserved_smem_offset_begin",
        "%total_smem_size",
        "%aggr_smem_size",
        "%dynamic_smem_size",
        "%current_graph_exec",
    ] {
        assert_operands(&format!("x {name}, 1;"), &[Operand::Special(name), integer(1)]);
    }
}

#[test]
fn names_that_are_no_special_registers() {
    for name in
        ["%foo", "%pm8", "%pm01", "%pm", "%envreg32", "%envreg", "%tidx", "%pm0_32", "%clock65"]
    {
        let message = format!("`{name}` is not declared and is no special register");
        assert_statement_refused(&format!("x {name};"), &message);
    }
    assert_statement_refused("x %laneid.x;", "expected `,` or `;` behind `%laneid`, found `.x`");
    assert_statement_refused("x %tid.v;", "expected `,` or `;` behind `%tid`, found `.v`");
    assert_statement_refused("x %tid .x;", "expected `,` or `;` behind `%tid`, found `.x`");
    assert_statement_refused("x %tid.x.y;", "expected `,` or `;`, found `.y`");
}

#[test]
fn a_special_register_gives_way_to_a_declared_one() {
    assert_operands(".reg .b32 %tid; x %tid;", &[register(0)]);
}

#[test]
fn bad_statements() {
    let statement = "expected an instruction, a label, a directive or `}`, found";
    for found in [";", "5", "[", ",", ":", "\"s\""] {
        assert_statement_refused(found, &format!("{statement} `{found}`"));
    }
    let message = "expected `,` or `;`, found `}`";
    assert_refused(&kernel("x %r1"), 7, message);
}

#[test]
fn bad_operands() {
    assert_statement_refused("x %r1,;", "expected an operand, found `;`");
    assert_statement_refused("x ,%r1;", "expected an operand, found `,`");
    assert_statement_refused("x %r1 %r2;", "expected `,` or `;`, found `%r2`");
    assert_statement_refused("x \"text\";", "expected an operand, found `\"text\"`");
    assert_statement_refused("x !5;", "expected a register behind `!`, found `5`");
    assert_statement_refused("x !p;", "expected a register behind `!`, found `p`");
    assert_statement_refused("x (%r1);", "expected an integer constant, found `%r1`");
    assert_statement_refused(
        "x nowhere;",
        "`nowhere` is not declared: no register, variable, function or label here",
    );
    for name in ["%r1.f32 %r1;", "_ 5;", "$L 5;", "Add %r1;"] {
        let first = name.split(['.', ' ']).next().unwrap_or_default();
        let message = format!("expected the name of an instruction, found `{first}`");
        assert_statement_refused(name, &message);
    }
}
