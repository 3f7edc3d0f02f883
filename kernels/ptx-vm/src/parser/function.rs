//! Kernels and device functions: what they take and give back, and the directives that tune them.

use crate::error::LoadResult;
use crate::syntax::{Function, Space, Symbol, Variable};

use super::body;
use super::module::Parser;
use super::scopes::{Name, Scopes};
use super::variable;

/// `.entry name (...) .maxntid 256 { ... }`, `.func (...) name (...);`.
pub(super) fn function<'a>(parser: &mut Parser<'a>) -> LoadResult<()> {
    let entry = parser.tokens.dotted() == Some("entry");
    parser.tokens.next();
    let mut scopes = Scopes::new();
    let mut function = prototype(parser, &mut scopes, entry)?;
    tuning(parser, &mut function)?;
    if parser.tokens.eat_mark(b';') {
        return parser.declare_function(function, false).map(|_| ());
    }
    if !parser.tokens.is_mark(b'{') {
        return Err(parser.tokens.expected("`{`, `;` or a directive of a function"));
    }
    let index = parser.declare_function(function, true)?;
    let body = body::body(parser, scopes)?;
    if let Some(function) = parser.module.functions.get_mut(index) {
        function.body = Some(body);
    }
    Ok(())
}

/// Whether two declarations of one function may stand in one text.
pub(super) fn agree(a: &Function<'_>, b: &Function<'_>) -> bool {
    let same = |a: &[Variable<'_>], b: &[Variable<'_>]| {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| {
                a.element == b.element && a.length == b.length && a.register == b.register
            })
    };
    a.entry == b.entry && same(&a.parameters, &b.parameters) && same(&a.returns, &b.returns)
}

fn prototype<'a>(
    parser: &mut Parser<'a>,
    scopes: &mut Scopes<'a>,
    entry: bool,
) -> LoadResult<Function<'a>> {
    while parser.tokens.dotted() == Some("attribute") {
        variable::attribute(parser)?;
    }
    let returns = if !entry && parser.tokens.is_mark(b'(') {
        parameters(parser, scopes, false, Symbol::Return)?
    } else {
        Vec::new()
    };
    let line = parser.tokens.line();
    let name = parser.tokens.word("the name of a function")?;
    let parameters = if parser.tokens.is_mark(b'(') {
        parameters(parser, scopes, entry, Symbol::Parameter)?
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
    parser: &mut Parser<'a>,
    scopes: &mut Scopes<'a>,
    entry: bool,
    symbol: fn(u32) -> Symbol,
) -> LoadResult<Vec<Variable<'a>>> {
    parser.tokens.mark(b'(')?;
    let mut list = Vec::new();
    if parser.tokens.eat_mark(b')') {
        return Ok(list);
    }
    loop {
        match parser.tokens.dotted() {
            Some("param") => {
                let variable = variable::parameter(parser)?;
                scopes.declare_symbol(variable.name, symbol(list.len() as u32), variable.line)?;
                list.push(variable);
            }
            Some("reg") if !entry => list.push(register(parser, scopes)?),
            _ => return Err(parser.tokens.expected("a parameter")),
        }
        if !parser.tokens.eat_mark(b',') {
            parser.tokens.mark(b')')?;
            return Ok(list);
        }
    }
}

/// `.reg .b32 a`.
fn register<'a>(parser: &mut Parser<'a>, scopes: &mut Scopes<'a>) -> LoadResult<Variable<'a>> {
    parser.tokens.next();
    let element = body::register_type(parser)?;
    let line = parser.tokens.line();
    let name = parser.tokens.word("the name of a register")?;
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
fn tuning(parser: &mut Parser<'_>, function: &mut Function<'_>) -> LoadResult<()> {
    while let Some(name) = parser.tokens.dotted() {
        match name {
            "maxntid" => function.most_threads = Some(extents(parser)?),
            "reqntid" => function.exact_threads = Some(extents(parser)?),
            "reqnctapercluster" => function.cluster = Some(extents(parser)?),
            "minnctapersm" => function.least_blocks = Some(count(parser)?),
            "maxnreg" => function.most_registers = Some(count(parser)?),
            // Hints and promises without a consequence for what is computed.
            "maxnctapersm" | "maxclusterrank" | "abi_preserve" | "abi_preserve_control" => {
                count(parser)?;
            }
            "noreturn" | "explicitcluster" => {
                parser.tokens.next();
            }
            "pragma" => parser.pragma()?,
            "attribute" => variable::attribute(parser)?,
            "blocksareclusters" => {
                return Err(parser.refused(".blocksareclusters", "launch blocks, not clusters"));
            }
            _ => return Err(parser.tokens.expected("`{`, `;` or a directive of a function")),
        }
    }
    Ok(())
}

/// `.maxntid 16, 16`: what is missing is 1.
fn extents(parser: &mut Parser<'_>) -> LoadResult<[u32; 3]> {
    let mut extents = [count(parser)?, 1, 1];
    for extent in &mut extents[1..] {
        if !parser.tokens.is_mark(b',') {
            break;
        }
        *extent = count(parser)?;
    }
    Ok(extents)
}

/// The positive number behind the current token.
fn count(parser: &mut Parser<'_>) -> LoadResult<u32> {
    parser.tokens.next();
    let token = parser.tokens.peek();
    match parser.tokens.integer("a number from 1")? {
        0 => Err(parser.tokens.expected_at(token, "a number from 1")),
        count => Ok(count),
    }
}
