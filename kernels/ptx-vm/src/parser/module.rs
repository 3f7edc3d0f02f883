//! Module scope: header, variables, functions, files, and the debug sections that are skipped.

use crate::error::LoadResult;
use crate::lexer::Kind;
use crate::syntax::{Immediate, Module};

use super::function;
use super::tokens::Tokens;
use super::unit::Unit;
use super::variable;

pub(super) fn parse(text: &str) -> LoadResult<Module<'_>> {
    let mut tokens = Tokens::new(text)?;
    let version = version(&mut tokens)?;
    let target = target(&mut tokens)?;
    let (variables, functions, files) = (Vec::new(), Vec::new(), Vec::new());
    let module = Module { version, target, variables, functions, files };
    let mut unit = Unit::new(tokens, module);
    while unit.tokens.peek().kind != Kind::End {
        item(&mut unit)?;
    }
    Ok(unit.module)
}

/// `.version 9.0`.
fn version(tokens: &mut Tokens<'_>) -> LoadResult<(u32, u32)> {
    if !tokens.eat_dotted("version") {
        return Err(tokens.expected("`.version`"));
    }
    let token = tokens.peek();
    let numbers = tokens.spelling(token).split_once('.');
    match numbers.map(|(major, minor)| (major.parse(), minor.parse())) {
        Some((Ok(major), Ok(minor))) => {
            tokens.next();
            Ok((major, minor))
        }
        _ => Err(tokens.expected("a version such as 9.0")),
    }
}

/// `.target sm_90a, debug`.
fn target<'a>(tokens: &mut Tokens<'a>) -> LoadResult<Vec<&'a str>> {
    if !tokens.eat_dotted("target") {
        return Err(tokens.expected("`.target` behind `.version`"));
    }
    let mut names = vec![tokens.word("a target such as sm_90a")?];
    while tokens.eat_mark(b',') {
        names.push(tokens.word("a target or one of its options")?);
    }
    Ok(names)
}

/// One directive of module scope.
fn item(unit: &mut Unit<'_>) -> LoadResult<()> {
    const WHAT: &str = "a directive of module scope";
    let Some(name) = unit.tokens.dotted() else {
        return Err(unit.tokens.expected(WHAT));
    };
    match name {
        "address_size" => address_size(unit),
        "file" => file(unit),
        "section" => section(unit),
        "pragma" => unit.pragma().map(drop),
        "visible" | "extern" | "weak" | "common" => linked(unit),
        "global" | "const" | "shared" | "entry" | "func" => declaration(unit, false),
        "alias" => Err(unit.refused(".alias", "call the function by its own name")),
        "tex" => Err(unit.refused(".tex", "textures are no part of this machine")),
        _ => Err(unit.tokens.expected(WHAT)),
    }
}

fn address_size(unit: &mut Unit<'_>) -> LoadResult<()> {
    unit.tokens.next();
    if unit.tokens.peek().kind != Kind::Number(Immediate::Integer(64)) {
        return Err(unit.tokens.expected("an address size of 64"));
    }
    unit.tokens.next();
    Ok(())
}

/// `.file 1 "layer_norm.cu"`, with time and size behind it or not.
fn file(unit: &mut Unit<'_>) -> LoadResult<()> {
    unit.tokens.next();
    let number = unit.tokens.integer("the number of a file")?;
    let name = unit.tokens.string("the name of a file in quotes")?;
    for what in ["the time of a file", "the size of a file"] {
        if !unit.tokens.eat_mark(b',') {
            break;
        }
        if !matches!(unit.tokens.peek().kind, Kind::Number(Immediate::Integer(_))) {
            return Err(unit.tokens.expected(what));
        }
        unit.tokens.next();
    }
    unit.module.files.push((number, name));
    Ok(())
}

/// `.section .debug_info { ... }`: skipped up to its brace.
fn section(unit: &mut Unit<'_>) -> LoadResult<()> {
    unit.tokens.next();
    if unit.tokens.dotted().is_none() {
        return Err(unit.tokens.expected("the name of a section"));
    }
    unit.tokens.next();
    unit.tokens.skip_block(b'{', b'}', b"")
}

fn linked(unit: &mut Unit<'_>) -> LoadResult<()> {
    let external = unit.tokens.dotted() == Some("extern");
    unit.tokens.next();
    match unit.tokens.dotted() {
        Some("global" | "const" | "shared" | "entry" | "func") => declaration(unit, external),
        _ => Err(unit.tokens.expected("a variable or function behind a linking directive")),
    }
}

fn declaration(unit: &mut Unit<'_>, external: bool) -> LoadResult<()> {
    match unit.tokens.dotted() {
        Some("entry" | "func") => function::function(unit),
        _ => {
            for variable in variable::statement(unit, external)? {
                unit.declare_variable(variable)?;
            }
            Ok(())
        }
    }
}
