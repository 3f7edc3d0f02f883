//! Constant expressions: literals, `WARP_SZ`, signs, parentheses, `+ - * << & ^ |`, in 64 bits that wrap.
//!
//! Operators whose result depends on a literal being signed (`/`, `>>`, comparisons) are left out: nvcc folds them.

use crate::error::LoadResult;
use crate::lexer::Kind;
use crate::syntax::Immediate;

use super::tokens::Tokens;

/// Parentheses and signs inside each other; the parser recurses over them.
const DEEPEST: u32 = 64;
/// `%warp_size` of every target there is.
const WARP_SIZE: u64 = 32;

/// Whether a constant may begin with the current token.
pub(super) fn begins(tokens: &Tokens<'_>) -> bool {
    let token = tokens.peek();
    match token.kind {
        Kind::Number(_) => true,
        Kind::Mark(mark) => b"-+~(".contains(&mark),
        Kind::Word => tokens.spelling(token) == "WARP_SZ",
        _ => false,
    }
}

/// A constant of either sort.
pub(super) fn immediate(tokens: &mut Tokens<'_>) -> LoadResult<Immediate> {
    binary(tokens, 0, 0)
}

/// A constant that must be an integer.
pub(super) fn integer(tokens: &mut Tokens<'_>, what: &str) -> LoadResult<u64> {
    let first = tokens.peek();
    if !begins(tokens) {
        return Err(tokens.expected(what));
    }
    match immediate(tokens)? {
        Immediate::Integer(value) => Ok(value),
        _ => Err(tokens.expected_at(first, what)),
    }
}

/// A constant behind a base: `+16`, `-4`, `+-16`, `+4-2`; 0 where none stands.
pub(super) fn offset(tokens: &mut Tokens<'_>) -> LoadResult<i64> {
    let mut sum = 0u64;
    loop {
        let negative = tokens.is_mark(b'-');
        if !negative && !tokens.is_mark(b'+') {
            return Ok(sum as i64);
        }
        tokens.next();
        let first = tokens.peek();
        let Immediate::Integer(term) = binary(tokens, level(Kind::Mark(b'*')), 0)? else {
            return Err(tokens.expected_at(first, "an integer offset"));
        };
        sum = if negative { sum.wrapping_sub(term) } else { sum.wrapping_add(term) };
    }
}

/// How tightly an operator binds; 0 for what is none.
fn level(kind: Kind) -> u32 {
    match kind {
        Kind::Mark(b'|') => 1,
        Kind::Mark(b'^') => 2,
        Kind::Mark(b'&') => 3,
        Kind::ShiftLeft => 4,
        Kind::Mark(b'+' | b'-') => 5,
        Kind::Mark(b'*') => 6,
        _ => 0,
    }
}

/// Operators that bind at least as tightly as `least`, the left one first.
fn binary(tokens: &mut Tokens<'_>, least: u32, depth: u32) -> LoadResult<Immediate> {
    let mut left = unary(tokens, depth)?;
    loop {
        let operator = tokens.peek();
        let binds = level(operator.kind);
        if binds == 0 || binds < least {
            return Ok(left);
        }
        tokens.next();
        let right = binary(tokens, binds + 1, depth)?;
        let (Immediate::Integer(a), Immediate::Integer(b)) = (left, right) else {
            return Err(tokens.expected_at(operator, "no operator beside a float"));
        };
        left = Immediate::Integer(combine(operator.kind, a, b));
    }
}

fn combine(operator: Kind, a: u64, b: u64) -> u64 {
    match operator {
        Kind::Mark(b'|') => a | b,
        Kind::Mark(b'^') => a ^ b,
        Kind::Mark(b'&') => a & b,
        Kind::Mark(b'+') => a.wrapping_add(b),
        Kind::Mark(b'-') => a.wrapping_sub(b),
        Kind::Mark(b'*') => a.wrapping_mul(b),
        _ => u32::try_from(b).ok().and_then(|count| a.checked_shl(count)).unwrap_or(0),
    }
}

fn unary(tokens: &mut Tokens<'_>, depth: u32) -> LoadResult<Immediate> {
    if depth > DEEPEST {
        return Err(tokens.expected(&format!("at most {DEEPEST} parentheses and signs")));
    }
    let token = tokens.next();
    let refused = |tokens: &Tokens<'_>| Err(tokens.expected_at(token, "an integer constant"));
    Ok(match token.kind {
        Kind::Number(value) => value,
        Kind::Word if tokens.spelling(token) == "WARP_SZ" => Immediate::Integer(WARP_SIZE),
        Kind::Mark(b'+') => unary(tokens, depth + 1)?,
        Kind::Mark(b'-') => match unary(tokens, depth + 1)? {
            Immediate::Integer(value) => Immediate::Integer(value.wrapping_neg()),
            Immediate::F64(bits) => Immediate::F64(bits ^ (1 << 63)),
            // ptxas knows no minus before bits either.
            Immediate::F32(_) => return refused(tokens),
        },
        Kind::Mark(b'~') => match unary(tokens, depth + 1)? {
            Immediate::Integer(value) => Immediate::Integer(!value),
            _ => return refused(tokens),
        },
        Kind::Mark(b'(') => {
            let value = binary(tokens, 0, depth + 1)?;
            tokens.mark(b')')?;
            value
        }
        _ => return refused(tokens),
    })
}
