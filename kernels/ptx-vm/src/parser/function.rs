//! Kernels and device functions: what they take and give back, and the directives that tune them.

use crate::error::LoadResult;
use crate::syntax::{Function, Prototype, Space, Symbol, Variable};

use super::body;
use super::scopes::{Name, Scopes};
use super::unit::Unit;
use super::variable;

/// `.entry name (...) .maxntid 256 { ... }`, `.func (...) name (...);`.
pub(super) fn function<'a>(unit: &mut Unit<'a>) -> LoadResult<()> {
    let entry = unit.tokens.dotted() == Some("entry");
    unit.tokens.next();
    let mut scopes = Scopes::new();
    let mut function = prototype(unit, &mut scopes, entry)?;
    tuning(unit, &mut function)?;
    if unit.tokens.eat_mark(b';') {
        return unit.declare_function(function, false).map(|_| ());
    }
    if !unit.tokens.is_mark(b'{') {
        return Err(unit.tokens.expected("`{`, `;` or a directive of a function"));
    }
    let index = unit.declare_function(function, true)?;
    let body = body::body(unit, scopes)?;
    if let Some(function) = unit.module.functions.get_mut(index) {
        function.body = Some(body);
    }
    Ok(())
}

fn prototype<'a>(
    unit: &mut Unit<'a>,
    scopes: &mut Scopes<'a>,
    entry: bool,
) -> LoadResult<Function<'a>> {
    while unit.tokens.dotted() == Some("attribute") {
        variable::attribute(unit)?;
    }
    let returns = if !entry && unit.tokens.is_mark(b'(') {
        parameters(unit, scopes, false, Symbol::Return)?
    } else {
        Vec::new()
    };
    let line = unit.tokens.line();
    let name = unit.tokens.word("the name of a function")?;
    let parameters = if unit.tokens.is_mark(b'(') {
        parameters(unit, scopes, entry, Symbol::Parameter)?
    } else {
        Vec::new()
    };
    Ok(Function {
        entry,
        name,
        parameters,
        returns,
        body: None,
        most_threads: None,
        exact_threads: None,
        least_blocks: None,
        cluster: None,
        most_registers: None,
        line,
    })
}

/// `(.param .u64 a, .reg .b32 b)`; only device functions take registers.
fn parameters<'a>(
    unit: &mut Unit<'a>,
    scopes: &mut Scopes<'a>,
    entry: bool,
    symbol: fn(u32) -> Symbol,
) -> LoadResult<Vec<Variable<'a>>> {
    unit.tokens.mark(b'(')?;
    let mut list = Vec::new();
    if unit.tokens.eat_mark(b')') {
        return Ok(list);
    }
    loop {
        match unit.tokens.dotted() {
            Some("param") => {
                let variable = variable::parameter(unit)?;
                scopes.declare_symbol(variable.name, symbol(list.len() as u32), variable.line)?;
                list.push(variable);
            }
            Some("reg") if !entry => list.push(register(unit, scopes)?),
            _ => return Err(unit.tokens.expected("a parameter")),
        }
        if !unit.tokens.eat_mark(b',') {
            unit.tokens.mark(b')')?;
            return Ok(list);
        }
    }
}

/// `.callprototype (.param .b32 _) _ (.param .b64 _) .noreturn`, behind its first word.
pub(super) fn call_prototype<'a>(unit: &mut Unit<'a>) -> LoadResult<Prototype<'a>> {
    let returns = if unit.tokens.is_mark(b'(') { unnamed(unit)? } else { Vec::new() };
    unit.tokens.word("`_`")?;
    let parameters = if unit.tokens.is_mark(b'(') { unnamed(unit)? } else { Vec::new() };
    while let Some(name) = unit.tokens.dotted() {
        match name {
            "noreturn" => {
                unit.tokens.next();
            }
            "abi_preserve" | "abi_preserve_control" => {
                count(unit)?;
            }
            _ => return Err(unit.tokens.expected("`;` or a directive of a prototype")),
        }
    }
    Ok(Prototype { returns, parameters })
}

/// `(.param .b32 _, .param .align 8 .b8 _[16])`: nobody refers to the names.
fn unnamed<'a>(unit: &mut Unit<'a>) -> LoadResult<Vec<Variable<'a>>> {
    unit.tokens.mark(b'(')?;
    let mut list = Vec::new();
    if unit.tokens.eat_mark(b')') {
        return Ok(list);
    }
    loop {
        if unit.tokens.dotted() != Some("param") {
            return Err(unit.tokens.expected("a .param parameter of a prototype"));
        }
        list.push(variable::parameter(unit)?);
        if !unit.tokens.eat_mark(b',') {
            unit.tokens.mark(b')')?;
            return Ok(list);
        }
    }
}

/// `.reg .b32 a`.
fn register<'a>(unit: &mut Unit<'a>, scopes: &mut Scopes<'a>) -> LoadResult<Variable<'a>> {
    unit.tokens.next();
    let element = body::register_type(unit)?;
    let line = unit.tokens.line();
    let name = unit.tokens.word("the name of a register")?;
    scopes.declare_register(name, element, line)?;
    let register = match scopes.find(name) {
        Some(Name::Register(id)) => Some(id),
        _ => None,
    };
    let (space, align, initial) = (Space::Parameter, element.bytes(), Vec::new());
    Ok(Variable {
        space,
        name,
        element,
        length: 1,
        align,
        external: false,
        register,
        initial,
        line,
    })
}

/// The directives between parameters and body.
fn tuning(unit: &mut Unit<'_>, function: &mut Function<'_>) -> LoadResult<()> {
    while let Some(name) = unit.tokens.dotted() {
        match name {
            "maxntid" => function.most_threads = Some(extents(unit)?),
            "reqntid" => function.exact_threads = Some(extents(unit)?),
            "reqnctapercluster" => function.cluster = Some(extents(unit)?),
            "minnctapersm" => function.least_blocks = Some(count(unit)?),
            "maxnreg" => function.most_registers = Some(count(unit)?),
            // Hints and promises without a consequence for what is computed.
            "maxnctapersm" | "maxclusterrank" | "abi_preserve" | "abi_preserve_control" => {
                count(unit)?;
            }
            "noreturn" | "explicitcluster" => {
                unit.tokens.next();
            }
            "pragma" => drop(unit.pragma()?),
            "attribute" => variable::attribute(unit)?,
            "blocksareclusters" => {
                return Err(unit.refused(".blocksareclusters", "launch blocks, not clusters"));
            }
            _ => return Err(unit.tokens.expected("`{`, `;` or a directive of a function")),
        }
    }
    Ok(())
}

/// `.maxntid 16, 16`: what is missing is 1.
fn extents(unit: &mut Unit<'_>) -> LoadResult<[u32; 3]> {
    let mut extents = [count(unit)?, 1, 1];
    for extent in &mut extents[1..] {
        if !unit.tokens.is_mark(b',') {
            break;
        }
        *extent = count(unit)?;
    }
    Ok(extents)
}

/// The positive number behind the current token.
fn count(unit: &mut Unit<'_>) -> LoadResult<u32> {
    unit.tokens.next();
    let token = unit.tokens.peek();
    match unit.tokens.integer("a number from 1")? {
        0 => Err(unit.tokens.expected_at(token, "a number from 1")),
        count => Ok(count),
    }
}
