//! Whole texts of nvcc: what was parsed, printed and assembled by NVIDIA's ptxas gave the machine code of the original.

use ptx_vm::syntax::{Operand, Source, Space, Symbol, Type};

use crate::printer::print;
use crate::support::{accepted, fixtures};

/// FNV-1a of the printed text of each fixture. `fixtures/compare.py` has seen that ptxas makes the same machine code
/// of those texts and of the fixtures; a fingerprint that changes wants that check again.
const PRINTED: [(&str, u64); 12] = [
    ("asynchronous", 0xad5a_7ea0_be55_c07d),
    ("atomics", 0xc16b_95da_9a0c_f9ce),
    ("calls", 0x47c5_fd2b_2c16_90b8),
    ("constants", 0x8aa2_c273_6efc_5ae2),
    ("elementwise", 0x2c1e_da2c_240a_4d51),
    ("hopper", 0xbf5a_38fa_772b_ce82),
    ("lines", 0x9406_70ac_5e8b_bdab),
    ("lines_debug", 0x3863_8a48_6a17_1a18),
    ("pointers", 0x8e7b_04e7_395e_58ed),
    ("precision", 0xbf20_3b98_7896_aabd),
    ("print_assert", 0xbc05_4127_5d09_d612),
    ("shared", 0xa622_f0d0_a859_d337),
];

fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn fixture(name: &str) -> String {
    let found = fixtures().into_iter().find(|(each, _)| each == name);
    found.unwrap_or_else(|| panic!("no fixture {name}")).1
}

#[test]
fn printed_texts_are_those_that_assemble_to_the_same_code() {
    let mut found = Vec::new();
    for (name, text) in fixtures() {
        let printed = print(&accepted(&text));
        if let Some(folder) = std::env::var_os("PTX_VM_PRINT") {
            let path = std::path::Path::new(&folder).join(format!("{name}.ptx"));
            std::fs::write(path, &printed).expect("a folder to write to");
        }
        found.push((name, fingerprint(&printed)));
    }
    let found: Vec<(&str, u64)> = found.iter().map(|(name, hash)| (name.as_str(), *hash)).collect();
    assert_eq!(found, PRINTED, "run fixtures/compare.py");
}

#[test]
fn a_printed_text_parses_to_itself() {
    for (name, text) in fixtures() {
        let printed = print(&accepted(&text));
        assert_eq!(print(&accepted(&printed)), printed, "{name}");
    }
}

#[test]
fn lines_of_text_and_source_are_kept() {
    let text = fixture("lines");
    let module = accepted(&text);
    assert_eq!(module.files, [(1, "lines.cu".to_owned())]);
    let body = module.functions[0].body.as_ref().expect("a body");
    let lines: Vec<&str> = text.lines().collect();
    for instruction in &body.instructions {
        let line = lines[instruction.line as usize - 1];
        assert!(line.contains(&instruction.parts.join(".")), "{line}");
    }
    // `p.sum + x` was inlined: its line is that of the structure's function, not of the loop.
    let add = body.instructions.iter().find(|each| each.parts == ["add", "f32"]);
    let source = |at, inlined_at| Some(Source { at, inlined_at });
    assert_eq!(add.and_then(|each| each.source), source((1, 4), Some((1, 10))));
    let load = body.instructions.iter().find(|each| each.parts == ["ld", "global", "f32"]);
    assert_eq!(load.and_then(|each| each.source), source((1, 10), None));
}

#[test]
fn a_declared_function_has_no_body() {
    let text = fixture("print_assert");
    let module = accepted(&text);
    let names: Vec<_> = module.functions.iter().map(|f| (f.name, f.body.is_some())).collect();
    assert_eq!(names, [("vprintf", false), ("__assertfail", false), ("_Z6reportPKiid", true)]);
    assert_eq!(module.functions[0].returns.len(), 1);
    assert_eq!(module.functions[1].parameters.len(), 5);
}

#[test]
fn a_tensor_copy_has_its_coordinates() {
    let text = fixture("hopper");
    let module = accepted(&text);
    let kernel = &module.functions[0];
    assert_eq!(kernel.most_threads, Some([256, 1, 1]));
    assert_eq!(kernel.cluster, Some([1, 1, 1]));
    let map = &kernel.parameters[0];
    assert_eq!((map.length, map.element, map.align), (128, Type::B8, 128));
    let body = kernel.body.as_ref().expect("a body");
    let copy = body.instructions.iter().find(|each| each.parts.contains(&"tensor"));
    let copy = copy.expect("a tensor copy");
    assert!(copy.parts.contains(&"mbarrier::complete_tx::bytes"));
    assert!(matches!(
        copy.operands.as_slice(),
        [Operand::Address { .. }, Operand::Tensor { coordinates, .. }, Operand::Address { .. }]
            if coordinates.len() == 2
    ));
}

#[test]
fn variables_of_a_body_are_its_own() {
    let text = fixture("print_assert");
    let module = accepted(&text);
    let body = module.functions[2].body.as_ref().expect("a body");
    let spaces: Vec<Space> = body.variables.iter().map(|each| each.space).collect();
    // The stack, then the parameters of two calls; `param0` and `retval0` stand in scopes of their own.
    assert_eq!(spaces[0], Space::Local);
    assert!(spaces[1..].iter().all(|&space| space == Space::Parameter));
    let named = |name: &str| body.variables.iter().filter(|each| each.name == name).count();
    assert_eq!((named("param0"), named("retval0")), (2, 1));
    let callees: Vec<&Operand<'_>> = body
        .instructions
        .iter()
        .filter(|each| each.parts[0] == "call")
        .flat_map(|each| each.operands.iter().filter(|each| !matches!(each, Operand::List(_))))
        .collect();
    let function = |index| Operand::Symbol { symbol: Symbol::Function(index), offset: 0 };
    assert_eq!(callees, [&function(1), &function(0)]);
}
