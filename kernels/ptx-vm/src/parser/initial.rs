//! Initial values: constants and addresses, checked against the element they are for.

use crate::error::{LoadError, LoadResult};
use crate::literal::short;
use crate::syntax::{Immediate, Initial, Space, Symbol, Type, Variable};

use super::constant;
use super::unit::Unit;

/// The values behind `=`.
pub(super) fn values(unit: &mut Unit<'_>, variable: &mut Variable<'_>) -> LoadResult<()> {
    let space = variable.space;
    if !matches!(space, Space::Global | Space::Constant) || variable.external {
        let what = "no initial value: only .global and .const variables defined here have one";
        return Err(unit.tokens.expected(what));
    }
    if !unit.tokens.eat_mark(b'{') {
        variable.initial.push(initial(unit, variable.element)?);
    } else if !unit.tokens.eat_mark(b'}') {
        list(unit, variable)?;
    }
    if variable.length == 0 {
        variable.length = variable.initial.len() as u64;
    }
    Ok(())
}

fn list(unit: &mut Unit<'_>, variable: &mut Variable<'_>) -> LoadResult<()> {
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
            if holds(element, value) {
                return Ok(Initial::Value(value));
            }
            let what = format!("a value for an element of type {element:?}");
            return Err(unit.tokens.expected_at(token, &what));
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

/// Whether an element can be this value: integers fit it signed or unsigned, floats are for floats and for bits of
/// their width.
fn holds(element: Type, value: Immediate) -> bool {
    match (element, value) {
        (Type::F32 | Type::F64, Immediate::Integer(_)) => false,
        (Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 | Type::Tf32, _) => false,
        (_, Immediate::Integer(value)) => {
            let bits = 8 * element.bytes();
            let negative = |value: i64| value < 0 && value >= -1 << (bits - 1);
            bits >= 64 || value < 1 << bits || negative(value as i64)
        }
        (Type::F32 | Type::F64, _) => true,
        (Type::B32, Immediate::F32(_)) | (Type::B64, Immediate::F64(_)) => true,
        _ => false,
    }
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
        let name = short(name);
        let message = format!("`{name}` is not declared: no variable or function before this");
        LoadError::new(line, message)
    })
}
