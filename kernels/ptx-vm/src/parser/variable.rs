//! Variables and formal parameters: space, type, alignment, extent.

use crate::error::{LoadError, LoadResult};
use crate::syntax::{Space, Type, Variable};

use super::constant;
use super::initial;
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
            initial::values(unit, &mut variable)?;
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
    unit.tokens.next();
    unit.tokens.skip_block(b'(', b')', b";{}")
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
