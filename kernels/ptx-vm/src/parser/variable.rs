//! Variables and formal parameters: space, type, alignment, extent, initial values.

use crate::error::{LoadError, LoadResult};
use crate::lexer::Kind;
use crate::syntax::{Initial, Space, Symbol, Type, Variable};

use super::constant;
use super::module::{Linkage, Parser};

/// What stands between the space and the name: `.align 16 .b8`.
#[derive(Clone, Copy)]
struct Head {
    space: Space,
    element: Type,
    align: u32,
}

/// The variables of one statement from its space to its `;`: `.shared .align 16 .b8 x[1024], y;`.
pub(super) fn statement<'a>(
    parser: &mut Parser<'a>,
    linkage: Linkage,
) -> LoadResult<Vec<Variable<'a>>> {
    let space = space(parser)?;
    let head = head(parser, space)?;
    let mut variables = Vec::new();
    loop {
        let mut variable = declarator(parser, head)?;
        variable.external = linkage.external;
        if parser.tokens.eat_mark(b'=') {
            initialise(parser, &mut variable)?;
        }
        check_extent(&variable)?;
        variables.push(variable);
        if !parser.tokens.eat_mark(b',') {
            break;
        }
    }
    parser.tokens.mark(b';')?;
    Ok(variables)
}

/// One formal parameter behind its `.param`: `.u64 .ptr .global .align 16 x`, `.align 8 .b8 x[24]`.
pub(super) fn parameter<'a>(parser: &mut Parser<'a>) -> LoadResult<Variable<'a>> {
    parser.tokens.next();
    let head = head(parser, Space::Parameter)?;
    declarator(parser, head)
}

fn space(parser: &mut Parser<'_>) -> LoadResult<Space> {
    let space = match parser.tokens.dotted() {
        Some("global") => Space::Global,
        Some("const") => Space::Constant,
        Some("shared") => Space::Shared,
        Some("local") => Space::Local,
        Some("param") => Space::Parameter,
        _ => return Err(parser.tokens.expected("the space of a variable")),
    };
    parser.tokens.next();
    Ok(space)
}

fn head(parser: &mut Parser<'_>, space: Space) -> LoadResult<Head> {
    let (mut element, mut align) = (None, None);
    // Alignment behind `.ptr` is that of what the parameter points to.
    let mut pointee = false;
    while let Some(name) = parser.tokens.dotted() {
        match name {
            "align" => {
                parser.tokens.next();
                let value = alignment(parser)?;
                if !pointee {
                    align = Some(value);
                }
            }
            "attribute" => attribute(parser)?,
            "ptr" if space == Space::Parameter => {
                parser.tokens.next();
                pointee = true;
            }
            "global" | "const" | "local" | "shared" if pointee => {
                parser.tokens.next();
            }
            _ if element.is_none() => element = Some(element_type(parser, name)?),
            _ => return Err(parser.tokens.expected("the name of a variable")),
        }
    }
    let element = element.ok_or_else(|| parser.tokens.expected("the type of a variable"))?;
    Ok(Head { space, element, align: align.unwrap_or(element.bytes()) })
}

fn element_type(parser: &mut Parser<'_>, name: &str) -> LoadResult<Type> {
    if matches!(name, "v2" | "v4" | "v8") {
        return Err(parser.refused(&format!(".{name}"), "declare the elements, or an array"));
    }
    if matches!(name, "texref" | "samplerref" | "surfref") {
        return Err(parser.refused(&format!(".{name}"), "textures are no part of this machine"));
    }
    match Type::parse(name).filter(|kind| kind.bytes() > 0) {
        Some(kind) => {
            parser.tokens.next();
            Ok(kind)
        }
        None => Err(parser.tokens.expected("the type of a variable")),
    }
}

fn alignment(parser: &mut Parser<'_>) -> LoadResult<u32> {
    const WHAT: &str = "an alignment, a power of two up to 65536";
    let token = parser.tokens.peek();
    let align = parser.tokens.integer(WHAT)?;
    if align.is_power_of_two() && align <= 65536 {
        return Ok(align);
    }
    Err(parser.tokens.expected_at(token, WHAT))
}

/// `.attribute(.managed)`, `.attribute(.unified(1, 2))`: where the driver keeps it, of no account here.
pub(super) fn attribute(parser: &mut Parser<'_>) -> LoadResult<()> {
    let opened = parser.tokens.next();
    parser.tokens.mark(b'(')?;
    let mut depth = 1u64;
    while depth > 0 {
        match parser.tokens.next().kind {
            Kind::Mark(b'(') => depth += 1,
            Kind::Mark(b')') => depth -= 1,
            Kind::End | Kind::Mark(b';' | b'{' | b'}') => {
                return Err(LoadError::new(
                    opened.line,
                    "expected `)` at the end of the attribute",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Name and extent: `x`, `x[4]`, `x[2][8]`, `x[]`.
fn declarator<'a>(parser: &mut Parser<'a>, head: Head) -> LoadResult<Variable<'a>> {
    let line = parser.tokens.line();
    let name = parser.tokens.word("the name of a variable")?;
    let mut length = 1u64;
    let mut open = false;
    while parser.tokens.eat_mark(b'[') {
        if !open && length == 1 && parser.tokens.eat_mark(b']') {
            open = true;
            continue;
        }
        let token = parser.tokens.peek();
        let extent = constant::integer(&mut parser.tokens, "the extent of an array")?;
        let product = length.checked_mul(extent).filter(|&product| product > 0 && !open);
        length = product.ok_or_else(|| {
            parser.tokens.expected_at(token, "extents from 1 whose product fits 64 bits")
        })?;
        parser.tokens.mark(b']')?;
    }
    let Head { space, element, align } = head;
    let length = if open { 0 } else { length };
    let (external, register, initial) = (false, None, Vec::new());
    Ok(Variable { space, name, element, length, align, external, register, initial, line })
}

/// `x[]` is for dynamic shared memory, for what another module defines and for what its initial values measure.
fn check_extent(variable: &Variable<'_>) -> LoadResult<()> {
    if variable.length > 0 || variable.external {
        return Ok(());
    }
    let name = variable.name;
    let message =
        format!("expected the extent of `{name}`, which is neither .extern nor initialised");
    Err(LoadError::new(variable.line, message))
}

/// The values behind `=`.
fn initialise(parser: &mut Parser<'_>, variable: &mut Variable<'_>) -> LoadResult<()> {
    let space = variable.space;
    if !matches!(space, Space::Global | Space::Constant) || variable.external {
        let what = "no initial value: only .global and .const variables defined here have one";
        return Err(parser.tokens.expected(what));
    }
    if !parser.tokens.eat_mark(b'{') {
        variable.initial.push(initial(parser, variable.element)?);
    } else if !parser.tokens.eat_mark(b'}') {
        values(parser, variable)?;
    }
    if variable.length == 0 {
        variable.length = variable.initial.len() as u64;
    }
    Ok(())
}

fn values(parser: &mut Parser<'_>, variable: &mut Variable<'_>) -> LoadResult<()> {
    loop {
        if parser.tokens.is_mark(b'{') {
            return Err(parser.refused("{", "write the initial values of an array in one list"));
        }
        let fits = variable.length == 0 || (variable.initial.len() as u64) < variable.length;
        if !fits {
            let what = format!("at most {} initial values", variable.length);
            return Err(parser.tokens.expected(&what));
        }
        variable.initial.push(initial(parser, variable.element)?);
        if !parser.tokens.eat_mark(b',') {
            return parser.tokens.mark(b'}');
        }
    }
}

/// `3`, `0f3F800000`, `x+4`, `generic(x)+4`.
fn initial(parser: &mut Parser<'_>, element: Type) -> LoadResult<Initial> {
    const WHAT: &str = "an initial value: a constant or the address of a variable or function";
    if constant::begins(&parser.tokens) {
        let value = constant::immediate(&mut parser.tokens)?;
        if parser.tokens.is_mark(b'(') {
            return Err(parser.refused("(", "store an address whole and not in pieces"));
        }
        return Ok(Initial::Value(value));
    }
    let line = parser.tokens.line();
    let name = parser.tokens.word(WHAT)?;
    let generic = name == "generic" && parser.tokens.eat_mark(b'(');
    let symbol = if generic {
        let symbol = address_of(parser)?;
        parser.tokens.mark(b')')?;
        symbol
    } else {
        find(parser, name, line)?
    };
    if element.bytes() != 8 {
        return Err(LoadError::new(line, "expected an element of 8 bytes to hold an address"));
    }
    let offset = constant::offset(&mut parser.tokens)?;
    Ok(Initial::Address { symbol, offset, generic })
}

fn address_of(parser: &mut Parser<'_>) -> LoadResult<Symbol> {
    let line = parser.tokens.line();
    let name = parser.tokens.word("the name of a variable or function")?;
    find(parser, name, line)
}

fn find(parser: &Parser<'_>, name: &str, line: u32) -> LoadResult<Symbol> {
    parser.find(name).ok_or_else(|| {
        LoadError::new(
            line,
            format!("`{name}` is not declared: no variable or function before this"),
        )
    })
}
