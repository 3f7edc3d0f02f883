//! Variables of every space, with initial values.

use ptx_vm::syntax::{Immediate, Initial, Operand, Space, Symbol, Type, Variable};

use crate::support::{
    HEADER, accepted, assert_directive_refused, assert_refused, assert_statement_refused, kernel,
};

/// The variables of a module of nothing but these directives.
#[track_caller]
fn assert_variables(directives: &str, look: impl FnOnce(&[Variable<'_>])) {
    let text = format!("{HEADER}{directives}");
    look(&accepted(&text).variables);
}

/// Space, name, element, length and alignment.
fn shape<'a>(variable: &Variable<'a>) -> (Space, &'a str, Type, u64, u32) {
    let Variable { space, name, element, length, align, .. } = *variable;
    (space, name, element, length, align)
}

#[test]
fn space_type_extent_and_alignment() {
    let text = ".global .b32 a; .visible .const .align 16 .f64 b[4]; .weak .shared .u8 c[2][8], d;
        .extern .shared .align 1024 .b8 e[]; .common .global .align 8 .b8 f[8]; .extern .global .u64 g;";
    assert_variables(text, |variables| {
        let shapes: Vec<_> = variables.iter().map(shape).collect();
        assert_eq!(
            shapes,
            [
                (Space::Global, "a", Type::B32, 1, 4),
                (Space::Constant, "b", Type::F64, 4, 16),
                (Space::Shared, "c", Type::U8, 16, 1),
                (Space::Shared, "d", Type::U8, 1, 1),
                (Space::Shared, "e", Type::B8, 0, 1024),
                (Space::Global, "f", Type::B8, 8, 8),
                (Space::Global, "g", Type::U64, 1, 8),
            ]
        );
        let external: Vec<&str> = variables.iter().filter(|v| v.external).map(|v| v.name).collect();
        assert_eq!(external, ["e", "g"]);
        assert_eq!(variables[1].bytes(), 32);
        assert!(variables.iter().all(|each| each.initial.is_empty() && each.register.is_none()));
    });
}

#[test]
fn attributes_are_skipped() {
    let text = ".global .attribute(.managed) .align 4 .u32 a = 5; .global .attribute(.unified(1, 2)) .u32 b;";
    assert_variables(text, |variables| assert_eq!(variables.len(), 2));
    let message = "expected `)` to the `(` of this line";
    assert_directive_refused(".global .attribute(.managed .u32 a;", message);
    assert_directive_refused(".global .attribute .u32 a;", "expected `(`, found `.u32`");
}

#[test]
fn initial_values() {
    let text =
        ".global .b32 a[4] = {1, -2, 0f3F800000}; .const .f64 b = 0.5; .global .u8 c[] = {7, 8, 9};
        .global .b8 d[2] = {}; .global .b32 e = (1 + 2);";
    assert_variables(text, |variables| {
        let value = |bits: i64| Initial::Value(Immediate::Integer(bits as u64));
        let one = Initial::Value(Immediate::F32(0x3f80_0000));
        assert_eq!(variables[0].initial, [value(1), value(-2), one]);
        let half = Initial::Value(Immediate::F64(0x3fe0_0000_0000_0000));
        assert_eq!(variables[1].initial, [half]);
        assert_eq!(variables[2].initial, [value(7), value(8), value(9)]);
        assert_eq!(variables[2].length, 3);
        assert_eq!(variables[3].initial, []);
        assert_eq!(variables[4].initial, [value(3)]);
    });
}

#[test]
fn initial_values_fit_their_elements() {
    for (kind, values) in [
        ("b8", "255, -128"),
        ("s8", "255, -128"),
        ("u16", "65535, -32768"),
        ("s32", "4294967295, -2147483648"),
        ("u64", "18446744073709551615, -9223372036854775808"),
        ("b32", "0f3F800000"),
        ("b64", "0d3FF0000000000000, 1.5"),
        ("f32", "0f3F800000, 1.5"),
        ("f64", "0d3FF0000000000000, 0f3F800000"),
    ] {
        assert_variables(&format!(".global .{kind} a[] = {{{values}}};"), |variables| {
            assert_eq!(variables[0].initial.len(), values.split(',').count());
        });
    }
    for (kind, name, found) in [
        ("b8", "B8", "256"),
        ("u8", "U8", "1.5"),
        ("u16", "U16", "65536"),
        ("s32", "S32", "4294967296"),
        ("f32", "F32", "1"),
        ("f64", "F64", "1"),
        ("b32", "B32", "1.5"),
        ("b64", "B64", "0f3F800000"),
        ("f16", "F16", "0"),
        ("bf16x2", "Bf16x2", "1.5"),
    ] {
        let message = format!("expected a value for an element of type {name}, found `{found}`");
        assert_directive_refused(&format!(".global .{kind} a = {found};"), &message);
    }
    for (kind, found) in [("B8", -129i64), ("S16", -32769), ("U32", -2147483649)] {
        let message = format!("expected a value for an element of type {kind}, found `-`");
        let kind = kind.to_lowercase();
        assert_directive_refused(&format!(".global .{kind} a = {found};"), &message);
    }
}

#[test]
fn initial_addresses() {
    let text =
        ".global .b32 a[4]; .func f; .global .u64 b[5] = {a, a+4, generic(a), generic(a)-8, f};
        .global .u8 c[3] = {0XFF(generic(a)+4), 0xFF00(a), 0xff00000000000000(generic(f))};";
    let symbol = Symbol::Module(0);
    let function = Symbol::Function(0);
    assert_variables(text, |variables| {
        let address = |symbol, offset, generic| Initial::Address { symbol, offset, generic };
        assert_eq!(
            variables[1].initial,
            [
                address(symbol, 0, false),
                address(symbol, 4, false),
                address(symbol, 0, true),
                address(symbol, -8, true),
                address(function, 0, false),
            ]
        );
        let piece =
            |symbol, offset, generic, byte| Initial::AddressByte { symbol, offset, generic, byte };
        let pieces =
            [piece(symbol, 4, true, 0), piece(symbol, 0, false, 1), piece(function, 0, true, 7)];
        assert_eq!(variables[2].initial, pieces);
    });
}

#[test]
fn bad_initial_values() {
    let none =
        "expected no initial value: only .global and .const variables defined here have one, found";
    assert_directive_refused(".shared .b32 a = 5;", &format!("{none} `5`"));
    assert_directive_refused(".extern .global .b32 a = 5;", &format!("{none} `5`"));
    assert_statement_refused(".local .b32 a = 5;", &format!("{none} `5`"));
    assert_directive_refused(
        ".global .b32 a[2] = {1, 2, 3};",
        "expected at most 2 initial values, found `3`",
    );
    assert_directive_refused(
        ".global .b32 a = {1, 2};",
        "expected at most 1 initial values, found `2`",
    );
    assert_directive_refused(".global .b32 a[2] = {1, 2;", "expected `}`, found `;`");
    assert_directive_refused(
        ".global .b32 a[2] = {1,};",
        "expected a constant or the address of a variable or function, found `}`",
    );
    assert_directive_refused(
        ".global .b32 a[2][2] = {{1, 2}, {3}};",
        "`{` is not supported: write the initial values of an array in one list",
    );
    assert_directive_refused(
        ".global .b64 a = b; .global .b32 b;",
        "`b` is not declared: no variable or function before this",
    );
    assert_directive_refused(
        ".global .b64 a = generic(b);",
        "`b` is not declared: no variable or function before this",
    );
    assert_directive_refused(
        ".global .b32 a; .global .b32 b = a;",
        "expected a constant or an element of 8 bytes, found `a`",
    );
    assert_directive_refused(
        ".global .b32 a; .global .b64 b = generic(a;",
        "expected `)`, found `;`",
    );
    assert_directive_refused(
        ".global .b32 a; .global .b64 b = generic(5);",
        "expected the name of a variable or function, found `5`",
    );
    let mask = "expected a mask of one byte of an address, such as 0xFF00, found";
    assert_directive_refused(
        ".global .b32 a; .global .u8 b = 0xffff(a);",
        &format!("{mask} `0xffff`"),
    );
    assert_directive_refused(
        ".global .b32 a; .global .u8 b = 0xff0(a);",
        &format!("{mask} `0xff0`"),
    );
    assert_directive_refused(".global .b32 a; .global .u8 b = 0xff(a;", "expected `)`, found `;`");
}

#[test]
fn bad_types_and_spaces() {
    let kind = "expected the type of a variable, found";
    assert_directive_refused(".global a;", &format!("{kind} `a`"));
    assert_directive_refused(".global .pred a;", &format!("{kind} `.pred`"));
    assert_directive_refused(".global .b31 a;", &format!("{kind} `.b31`"));
    assert_directive_refused(".global .ptr .b32 a;", &format!("{kind} `.ptr`"));
    assert_directive_refused(
        ".global .b32 .b32 a;",
        "expected the name of a variable, found `.b32`",
    );
    assert_directive_refused(
        ".global .v4 .f32 a;",
        "`.v4` is not supported: declare the elements, or an array",
    );
    let textures = "is not supported: textures are no part of this machine";
    assert_directive_refused(".global .texref a;", &format!("`.texref` {textures}"));
    assert_directive_refused(".tex .u32 a;", &format!("`.tex` {textures}"));
    assert_directive_refused(
        ".local .b32 a;",
        "expected a directive of module scope, found `.local`",
    );
    assert_directive_refused(".reg .b32 a;", "expected a directive of module scope, found `.reg`");
    assert_directive_refused(
        ".extern .local .b32 a;",
        "expected a variable or function behind a linking directive, found `.local`",
    );
}

#[test]
fn bad_alignments_and_extents() {
    let align = "expected an alignment, a power of two up to 65536, found";
    for found in ["0", "3", "131072", "x", "4294967296"] {
        assert_directive_refused(
            &format!(".global .align {found} .b8 a;"),
            &format!("{align} `{found}`"),
        );
    }
    let extent = "expected extents from 1 whose product fits 64 bits, found";
    assert_directive_refused(".global .b8 a[0];", &format!("{extent} `0`"));
    assert_directive_refused(
        ".global .b8 a[4294967296][4294967296];",
        &format!("{extent} `4294967296`"),
    );
    assert_directive_refused(".extern .shared .b8 a[][4];", &format!("{extent} `4`"));
    assert_directive_refused(".global .b8 a[x];", "expected the extent of an array, found `x`");
    assert_directive_refused(".global .b8 a[1.5];", "expected the extent of an array, found `1.5`");
    assert_directive_refused(".global .b8 a[4;", "expected `]`, found `;`");
    let open = "expected the extent of `a`, which is neither .extern nor initialised";
    assert_directive_refused(".shared .b8 a[];", open);
    assert_statement_refused(".local .b8 a[];", open);
    assert_directive_refused(".global .b8 a[] = {};", open);
}

#[test]
fn a_declaration_gives_way_to_the_definition() {
    for text in [
        ".extern .global .b32 a[]; .global .b64 c = a; .global .b32 a[2] = {1, 2};",
        ".global .b32 a[2] = {1, 2}; .extern .global .b32 a[2]; .global .b64 c = a;",
    ] {
        assert_variables(text, |variables| {
            assert_eq!(variables.len(), 2);
            assert_eq!((variables[0].length, variables[0].initial.len()), (2, 2));
            assert!(!variables[0].external);
        });
    }
    let twice = "`a` is declared twice";
    assert_directive_refused(".global .b32 a; .global .b32 a;", twice);
    assert_directive_refused(".extern .global .b32 a; .global .b64 a;", twice);
    assert_directive_refused(".extern .global .b32 a; .shared .b32 a;", twice);
    assert_directive_refused(".extern .global .b32 a[3]; .global .b32 a[2];", twice);
    assert_directive_refused(".func a; .global .b32 a;", twice);
}

#[test]
fn static_variables_of_a_function_belong_to_the_module() {
    let text = kernel(
        ".global .b32 g = 3; .const .b32 c = 4; .local .b32 l; x g; x c; x l; { .global .b32 g; x g; }",
    );
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    let symbols: Vec<Symbol> = body
        .instructions
        .iter()
        .map(|each| match each.operands[0] {
            Operand::Symbol { symbol, .. } => symbol,
            ref other => panic!("{other:?}"),
        })
        .collect();
    let [first, second, third] = [0, 1, 2].map(Symbol::Module);
    assert_eq!(symbols, [first, second, Symbol::Body(0), third]);
    assert_refused(
        &(text.clone() + ".global .b64 x = g;\n"),
        8,
        "`g` is not declared: no variable or function before this",
    );
}
