//! What the tests share: a kernel around statements, the error of a text, the fixtures.

use std::fs;
use std::path::Path;

use ptx_vm::error::LoadError;
use ptx_vm::parser::parse;
use ptx_vm::syntax::{Body, Instruction, Module};

pub const HEADER: &str = ".version 9.0\n.target sm_90a\n.address_size 64\n";

/// A module of a kernel `k(.param .u64 p)` with these statements; the first one stands in line 6.
pub fn kernel(statements: &str) -> String {
    format!(
        "{HEADER}.entry k(.param .u64 p) {{ .reg .b32 %r<10>; .reg .b64 %rd<10>;\n\
         .reg .pred %p<5>; .reg .f32 %f<9>;\n{statements}\n}}\n"
    )
}

/// The first instruction of `statements`, and the body around it.
pub fn with_first<T>(statements: &str, look: impl FnOnce(&Instruction<'_>, &Body<'_>) -> T) -> T {
    let text = kernel(statements);
    let module = accepted(&text);
    let body = module.functions[0].body.as_ref().expect("a body");
    look(&body.instructions[0], body)
}

/// The module of a text that must be good.
#[track_caller]
pub fn accepted(text: &str) -> Module<'_> {
    parse(text).unwrap_or_else(|error| panic!("{error}\n{text:.2000}"))
}

/// The error of a text that must be bad.
#[track_caller]
pub fn refused(text: &str) -> LoadError {
    match parse(text) {
        Ok(module) => panic!("accepted: {text:.2000}\n{:.2000}", format!("{module:?}")),
        Err(error) => error,
    }
}

/// Asserts that `text` is refused at `line` with exactly this message, and that the line is quoted.
#[track_caller]
pub fn assert_refused(text: &str, line: u32, message: &str) {
    let error = refused(text);
    assert_eq!((error.line, error.message.as_str()), (line, message), "{text:.2000}");
    let quoted = text.lines().nth(line as usize - 1).unwrap_or_default();
    assert_eq!(error.text, quoted.trim().chars().take(200).collect::<String>());
}

/// Asserts that a kernel with these statements in line 6 is refused there.
#[track_caller]
pub fn assert_statement_refused(statements: &str, message: &str) {
    assert_refused(&kernel(statements), 6, message);
}

/// Asserts that a module with these directives in line 4 is refused there.
#[track_caller]
pub fn assert_directive_refused(directives: &str, message: &str) {
    assert_refused(&format!("{HEADER}{directives}\n"), 4, message);
}

/// Name and text of each fixture, in the order of names.
pub fn fixtures() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder of fixtures") {
        let path = entry.expect("an entry of the folder").path();
        if path.extension().is_some_and(|extension| extension == "ptx") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            texts.push((name, fs::read_to_string(&path).expect("a fixture")));
        }
    }
    texts.sort();
    texts
}
