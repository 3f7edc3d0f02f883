//! Operands: registers, constants, addresses, vectors, pairs, and the lists of a call.

use crate::error::{LoadError, LoadResult};
use crate::lexer::Kind;
use crate::literal::short;
use crate::syntax::{Base, Operand, Symbol};

use super::block::Block;
use super::constant;
use super::scopes::Name;
use super::special;

/// The operands of an instruction up to its `;`.
pub(super) fn operands<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Vec<Operand<'a>>> {
    let mut operands = Vec::new();
    if block.unit.tokens.eat_mark(b';') {
        return Ok(operands);
    }
    loop {
        operands.push(operand(block)?);
        if !separator(block, b';')? {
            return Ok(operands);
        }
    }
}

/// Moves over `,` (true) or the `end` of a list (false).
fn separator(block: &mut Block<'_, '_>, end: u8) -> LoadResult<bool> {
    if block.unit.tokens.eat_mark(b',') {
        return Ok(true);
    }
    if block.unit.tokens.eat_mark(end) {
        return Ok(false);
    }
    Err(block.unit.tokens.expected(&format!("`,` or `{}`", end as char)))
}

fn operand<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    match block.unit.tokens.peek().kind {
        Kind::Mark(b'[') => address(block),
        Kind::Mark(b'{') => {
            block.unit.tokens.next();
            list(block, b'}').map(Operand::Vector)
        }
        Kind::Mark(b'!') => negated(block),
        _ => {
            let first = simple(block)?;
            if !block.unit.tokens.eat_mark(b'|') {
                return Ok(first);
            }
            let token = block.unit.tokens.peek();
            let second = simple(block)?;
            let result =
                |operand: &Operand<'_>| matches!(operand, Operand::Register(_) | Operand::Sink);
            if !(result(&first) && result(&second)) {
                return Err(block.unit.tokens.expected_at(token, "two registers beside `|`"));
            }
            Ok(Operand::Pair(Box::new((first, second))))
        }
    }
}

/// What may stand inside a vector or a list: a register, a constant, a name, `_`.
fn simple<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    if constant::begins(&block.unit.tokens) {
        return constant::immediate(&mut block.unit.tokens).map(Operand::Immediate);
    }
    let token = block.unit.tokens.peek();
    let name = block.unit.tokens.word("an operand")?;
    match block.find(name) {
        Some(Name::Register(id)) => {
            if block.unit.tokens.dotted().is_some() {
                return Err(block.unit.refused("component of a register", "name the element"));
            }
            Ok(Operand::Register(id))
        }
        Some(Name::Symbol(symbol)) => {
            let offset = constant::offset(&mut block.unit.tokens)?;
            Ok(Operand::Symbol { symbol, offset })
        }
        None if name == "_" => Ok(Operand::Sink),
        None if name.starts_with('%') => special(block, name, token.line),
        // Nothing else is used before it is declared.
        None => Ok(Operand::Label(block.labels.mention(name, token.line))),
    }
}

/// `%tid.x`, `%laneid`, and `%tid` alone, which is a vector.
fn special<'a>(block: &mut Block<'_, 'a>, name: &'a str, line: u32) -> LoadResult<Operand<'a>> {
    if !special::is_special(name) {
        let message = format!("`{}` is not declared and is no special register", short(name));
        return Err(LoadError::new(line, message));
    }
    let tokens = &mut block.unit.tokens;
    let Some(component) = tokens.dotted() else { return Ok(Operand::Special(name)) };
    let whole = tokens
        .joined()
        .filter(|_| special::is_vector(name) && matches!(component, "x" | "y" | "z" | "w"));
    let Some(whole) = whole else {
        return Err(tokens.expected(&format!("`,` or `;` behind `{name}`")));
    };
    tokens.next();
    Ok(Operand::Special(whole))
}

/// `!p`.
fn negated<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    const WHAT: &str = "a register behind `!`";
    block.unit.tokens.next();
    let token = block.unit.tokens.peek();
    let name = block.unit.tokens.word(WHAT)?;
    match block.scopes.find(name) {
        Some(Name::Register(id)) => Ok(Operand::Not(id)),
        _ => Err(block.unit.tokens.expected_at(token, WHAT)),
    }
}

/// The rest of `{a, b}` or `(a, b)` behind its opening mark.
fn list<'a>(block: &mut Block<'_, 'a>, end: u8) -> LoadResult<Vec<Operand<'a>>> {
    let mut elements = Vec::new();
    loop {
        elements.push(simple(block)?);
        if !separator(block, end)? {
            return Ok(elements);
        }
    }
}

/// `[base+offset]`, `[16]`, `[base, {x, y}]`.
fn address<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    const WHAT: &str = "a register, a variable or an integer inside `[ ]`";
    block.unit.tokens.next();
    let (base, offset) = if constant::begins(&block.unit.tokens) {
        (Base::None, constant::integer(&mut block.unit.tokens, WHAT)? as i64)
    } else {
        let token = block.unit.tokens.peek();
        let name = block.unit.tokens.word(WHAT)?;
        let base = match block.find(name) {
            Some(Name::Register(id)) => Base::Register(id),
            Some(Name::Symbol(symbol)) if !matches!(symbol, Symbol::Function(_)) => {
                Base::Symbol(symbol)
            }
            _ => return Err(block.unit.tokens.expected_at(token, WHAT)),
        };
        (base, constant::offset(&mut block.unit.tokens)?)
    };
    if !block.unit.tokens.eat_mark(b',') {
        block.unit.tokens.mark(b']')?;
        return Ok(Operand::Address { base, offset });
    }
    block.unit.tokens.mark(b'{')?;
    let coordinates = list(block, b'}')?;
    block.unit.tokens.mark(b']')?;
    Ok(Operand::Tensor { base, offset, coordinates })
}

/// `%r1, targets;`: the name is one of a `.branchtargets` list.
pub(super) fn branch_table<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Vec<Operand<'a>>> {
    let index = simple(block)?;
    block.unit.tokens.mark(b',')?;
    let token = block.unit.tokens.peek();
    let name = block.unit.tokens.word("the name of a `.branchtargets` list")?;
    let Some(&targets) = block.target_names.get(name) else {
        let message = format!("`{}` is no `.branchtargets` list declared before", short(name));
        return Err(LoadError::new(token.line, message));
    };
    block.unit.tokens.mark(b';')?;
    Ok(vec![index, Operand::Targets(targets)])
}

/// `(results), function, (arguments);`, either list or both missing; `(results), %rd1, (arguments), prototype;`.
pub(super) fn call<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Vec<Operand<'a>>> {
    let mut operands = Vec::new();
    if block.unit.tokens.is_mark(b'(') {
        operands.push(arguments(block)?);
        block.unit.tokens.mark(b',')?;
    }
    let callee = callee(block)?;
    let indirect = matches!(callee, Operand::Register(_));
    operands.push(callee);
    let mut more = block.unit.tokens.eat_mark(b',');
    if more && (!indirect || block.unit.tokens.is_mark(b'(')) {
        if !block.unit.tokens.is_mark(b'(') {
            return Err(block.unit.tokens.expected("`(` before the arguments of a call"));
        }
        operands.push(arguments(block)?);
        more = indirect && block.unit.tokens.eat_mark(b',');
    }
    if more {
        operands.push(prototype(block)?);
    } else if indirect {
        return Err(block.unit.tokens.expected("`,` and the name of a `.callprototype`"));
    }
    block.unit.tokens.mark(b';')?;
    Ok(operands)
}

fn prototype<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    let token = block.unit.tokens.peek();
    let name = block.unit.tokens.word("the name of a `.callprototype`")?;
    match block.prototype_names.get(name) {
        Some(&index) => Ok(Operand::Prototype(index)),
        None => {
            let message = format!("`{}` is no `.callprototype` declared before", short(name));
            Err(LoadError::new(token.line, message))
        }
    }
}

fn arguments<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    block.unit.tokens.mark(b'(')?;
    if block.unit.tokens.eat_mark(b')') {
        return Ok(Operand::List(Vec::new()));
    }
    list(block, b')').map(Operand::List)
}

fn callee<'a>(block: &mut Block<'_, 'a>) -> LoadResult<Operand<'a>> {
    let token = block.unit.tokens.peek();
    let name = block.unit.tokens.word("the name of a function")?;
    match block.find(name) {
        Some(Name::Symbol(symbol @ Symbol::Function(_))) => {
            Ok(Operand::Symbol { symbol, offset: 0 })
        }
        Some(Name::Register(id)) => Ok(Operand::Register(id)),
        _ => {
            let message = format!("`{}` is no function declared before this call", short(name));
            Err(LoadError::new(token.line, message))
        }
    }
}
