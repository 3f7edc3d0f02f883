//! Variables and formal parameters: space, type, alignment, extent, initial values.

use crate::error::{LoadError, LoadResult};
use crate::lexer::Kind;
use crate::syntax::{Immediate, Initial, Space, Symbol, Type, Variable};

use super::constant;
use super::unit::Unit;

/// What stands between the space and the name: `.align 16 .b8`.
#[derive(Clone, Copy)]
struct Head {
    space: Space,
    element: Type,
    align: u32,
}

/// The variables of one statement from its space to its `;`: `.shared .align 16 .b8 x[1024], y;`.
pub(super) fn statement<'a>(unit: &mut Unit<'a>, external: bool) -> LoadResult<Vec<Variable<'a>>> {
    let space = space(unit)?;
    let head = head(unit, space)?;
    let mut variables = Vec::new();
    loop {
        let mut variable = declarator(unit, head)?;
        variable.external = external;
        if unit.tokens.eat_mark(b'=') {
            initialise(unit, &mut variable)?;
        }
        check_extent(&variable)?;
        variables.push(variable);
        if !unit.tokens.eat_mark(b',') {
            break;
        }
    }
    unit.tokens.mark(b';')?;
    Ok(variables)
}

/// One formal parameter behind its `.param`: `.u64 .ptr .global .align 16 x`, `.align 8 .b8 x[24]`.
pub(super) fn parameter<'a>(unit: &mut Unit<'a>) -> LoadResult<Variable<'a>> {
    unit.tokens.next();
    let head = head(unit, Space::Parameter)?;
    declarator(unit, head)
}

fn space(unit: &mut Unit<'_>) -> LoadResult<Space> {
    let space = match unit.tokens.dotted() {
        Some("global") => Space::Global,
        Some("const") => Space::Constant,
        Some("shared") => Space::Shared,
        Some("local") => Space::Local,
        Some("param") => Space::Parameter,
        _ => return Err(unit.tokens.expected("the space of a variable")),
    };
    unit.tokens.next();
    Ok(space)
}

fn head(unit: &mut Unit<'_>, space: Space) -> LoadResult<Head> {
    let (mut element, mut align) = (None, None);
    // Alignment behind `.ptr` is that of what the parameter points to.
    let mut pointee = false;
    while let Some(name) = unit.tokens.dotted() {
        match name {
            "align" => {
                unit.tokens.next();
                let value = alignment(unit)?;
                if !pointee {
                    align = Some(value);
                }
            }
            "attribute" => attribute(unit)?,
            "ptr" if space == Space::Parameter => {
                unit.tokens.next();
                pointee = true;
            }
            "global" | "const" | "local" | "shared" if pointee => {
                unit.tokens.next();
            }
            _ if element.is_none() => element = Some(element_type(unit, name)?),
            _ => return Err(unit.tokens.expected("the name of a variable")),
        }
    }
    let element = element.ok_or_else(|| unit.tokens.expected("the type of a variable"))?;
    Ok(Head { space, element, align: align.unwrap_or(element.bytes()) })
}

fn element_type(unit: &mut Unit<'_>, name: &str) -> LoadResult<Type> {
    if matches!(name, "v2" | "v4" | "v8") {
        return Err(unit.refused(&format!(".{name}"), "declare the elements, or an array"));
    }
    if matches!(name, "texref" | "samplerref" | "surfref") {
        return Err(unit.refused(&format!(".{name}"), "textures are no part of this machine"));
    }
    match Type::parse(name).filter(|kind| kind.bytes() > 0) {
        Some(kind) => {
            unit.tokens.next();
            Ok(kind)
        }
        None => Err(unit.tokens.expected("the type of a variable")),
    }
}

fn alignment(unit: &mut Unit<'_>) -> LoadResult<u32> {
    const WHAT: &str = "an alignment, a power of two up to 65536";
    let token = unit.tokens.peek();
    let align = unit.tokens.integer(WHAT)?;
    if align.is_power_of_two() && align <= 65536 {
        return Ok(align);
    }
    Err(unit.tokens.expected_at(token, WHAT))
}

/// `.attribute(.managed)`, `.attribute(.unified(1, 2))`: where the driver keeps it, of no account here.
pub(super) fn attribute(unit: &mut Unit<'_>) -> LoadResult<()> {
    let opened = unit.tokens.next();
    unit.tokens.mark(b'(')?;
    let mut depth = 1u64;
    while depth > 0 {
        match unit.tokens.next().kind {
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
fn declarator<'a>(unit: &mut Unit<'a>, head: Head) -> LoadResult<Variable<'a>> {
    let line = unit.tokens.line();
    let name = unit.tokens.word("the name of a variable")?;
    let mut length = 1u64;
    let mut open = false;
    while unit.tokens.eat_mark(b'[') {
        if !open && length == 1 && unit.tokens.eat_mark(b']') {
            open = true;
            continue;
        }
        let token = unit.tokens.peek();
        let extent = constant::integer(&mut unit.tokens, "the extent of an array")?;
        let product = length.checked_mul(extent).filter(|&product| product > 0 && !open);
        length = product.ok_or_else(|| {
            unit.tokens.expected_at(token, "extents from 1 whose product fits 64 bits")
        })?;
        unit.tokens.mark(b']')?;
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
fn initialise(unit: &mut Unit<'_>, variable: &mut Variable<'_>) -> LoadResult<()> {
    let space = variable.space;
    if !matches!(space, Space::Global | Space::Constant) || variable.external {
        let what = "no initial value: only .global and .const variables defined here have one";
        return Err(unit.tokens.expected(what));
    }
    if !unit.tokens.eat_mark(b'{') {
        variable.initial.push(initial(unit, variable.element)?);
    } else if !unit.tokens.eat_mark(b'}') {
        values(unit, variable)?;
    }
    if variable.length == 0 {
        variable.length = variable.initial.len() as u64;
    }
    Ok(())
}

fn values(unit: &mut Unit<'_>, variable: &mut Variable<'_>) -> LoadResult<()> {
    loop {
        if unit.tokens.is_mark(b'{') {
            return Err(unit.refused("{", "write the initial values of an array in one list"));
        }
        let fits = variable.length == 0 || (variable.initial.len() as u64) < variable.length;
        if !fits {
            let what = format!("at most {} initial values", variable.length);
            return Err(unit.tokens.expected(&what));
        }
        variable.initial.push(initial(unit, variable.element)?);
        if !unit.tokens.eat_mark(b',') {
            return unit.tokens.mark(b'}');
        }
    }
}

/// `3`, `0f3F800000`, `x+4`, `generic(x)+4`, `0xFF00(generic(x)+4)`.
fn initial(unit: &mut Unit<'_>, element: Type) -> LoadResult<Initial> {
    let token = unit.tokens.peek();
    if constant::begins(&unit.tokens) {
        let value = constant::immediate(&mut unit.tokens)?;
        if !unit.tokens.eat_mark(b'(') {
            return Ok(Initial::Value(value));
        }
        let byte = (0..8).find(|byte| value == Immediate::Integer(0xff << (8 * byte)));
        let byte = byte.ok_or_else(|| {
            unit.tokens.expected_at(token, "a mask of one byte of an address, such as 0xFF00")
        })?;
        let (symbol, offset, generic) = address(unit)?;
        unit.tokens.mark(b')')?;
        return Ok(Initial::AddressByte { symbol, offset, generic, byte });
    }
    let (symbol, offset, generic) = address(unit)?;
    if element.bytes() != 8 {
        return Err(unit.tokens.expected_at(token, "a constant or an element of 8 bytes"));
    }
    Ok(Initial::Address { symbol, offset, generic })
}

/// `x+4` or `generic(x)+4`: what is meant, the offset, whether `generic` stands there.
fn address(unit: &mut Unit<'_>) -> LoadResult<(Symbol, i64, bool)> {
    const WHAT: &str = "a constant or the address of a variable or function";
    let line = unit.tokens.line();
    let name = unit.tokens.word(WHAT)?;
    let generic = name == "generic" && unit.tokens.eat_mark(b'(');
    let symbol = if generic {
        let line = unit.tokens.line();
        let inner = unit.tokens.word("the name of a variable or function")?;
        unit.tokens.mark(b')')?;
        find(unit, inner, line)?
    } else {
        find(unit, name, line)?
    };
    Ok((symbol, constant::offset(&mut unit.tokens)?, generic))
}

fn find(unit: &Unit<'_>, name: &str, line: u32) -> LoadResult<Symbol> {
    unit.find(name).ok_or_else(|| {
        LoadError::new(
            line,
            format!("`{name}` is not declared: no variable or function before this"),
        )
    })
}
