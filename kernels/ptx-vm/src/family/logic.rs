//! Bit by bit: `and or xor not cnot lop3`, of numbers and of predicates.

use crate::decode::{Encoded, Site};
use crate::error::{Checked, LoadResult};
use crate::program::{Family, Instruction, Run, flag};
use crate::registers::{LANES, Slot};
use crate::shapes::{Binary, Host, Unary, binary, lanes_where, unary};
use crate::syntax::{Immediate, Operand, Type};
use crate::turn::{Flow, Turn};

struct And;
struct Or;
struct Xor;
struct Not;
struct IsZero;

macro_rules! logic {
    ($($t:ty),*) => {$(
        impl Binary<$t, $t, $t> for And {
            #[inline(always)]
            fn of(a: $t, b: $t) -> $t {
                a & b
            }
        }
        impl Binary<$t, $t, $t> for Or {
            #[inline(always)]
            fn of(a: $t, b: $t) -> $t {
                a | b
            }
        }
        impl Binary<$t, $t, $t> for Xor {
            #[inline(always)]
            fn of(a: $t, b: $t) -> $t {
                a ^ b
            }
        }
        impl Unary<$t, $t> for Not {
            #[inline(always)]
            fn of(a: $t) -> $t {
                !a
            }
        }
        impl Unary<$t, $t> for IsZero {
            #[inline(always)]
            fn of(a: $t) -> $t {
                <$t>::from(a == 0)
            }
        }
    )*};
}

logic!(u16, u32, u64);

fn two<F>(host: Host, kind: Type) -> Option<Run>
where
    F: Binary<u16, u16, u16> + Binary<u32, u32, u32> + Binary<u64, u64, u64> + 'static,
{
    match kind {
        Type::B16 => Some(binary::<F, u16, u16, u16>(host)),
        Type::B32 => Some(binary::<F, u32, u32, u32>(host)),
        Type::B64 => Some(binary::<F, u64, u64, u64>(host)),
        _ => None,
    }
}

fn one<F>(host: Host, kind: Type) -> Option<Run>
where
    F: Unary<u16, u16> + Unary<u32, u32> + Unary<u64, u64> + 'static,
{
    match kind {
        Type::B16 => Some(unary::<F, u16, u16>(host)),
        Type::B32 => Some(unary::<F, u32, u32>(host)),
        Type::B64 => Some(unary::<F, u64, u64>(host)),
        _ => None,
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    if site.opcode() == "lop3" {
        return table(site);
    }
    let mut modifiers = site.modifiers();
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if kind == Type::Pred && site.opcode() != "cnot" {
        return predicates(site);
    }
    let host = site.host();
    let (run, sources) = match site.opcode() {
        "and" => (two::<And>(host, kind), 2),
        "or" => (two::<Or>(host, kind), 2),
        "xor" => (two::<Xor>(host, kind), 2),
        "not" => (one::<Not>(host, kind), 1),
        _ => (one::<IsZero>(host, kind), 1),
    };
    let run = run.ok_or_else(|| site.wrong_type(kind))?;
    let operands = site.typed(&[kind; 3][..=sources])?;
    site.emit(Encoded::new(run, Family::Logic, &operands))
}

/// The sources of a predicate instruction that are negated (`detail`).
const NEGATED_A: u32 = 1;
const NEGATED_B: u32 = 2;

fn predicates(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let run: Run = match site.opcode() {
        "and" => and_predicates,
        "or" => or_predicates,
        "xor" => xor_predicates,
        _ => not_predicate,
    };
    let unary = site.opcode() == "not";
    site.expect_operands(if unary { 2 } else { 3 })?;
    let to = site.operand(0)?;
    let to = site.predicate_result(to)?;
    let (a, not_a) = site.predicate_source(1)?;
    let (b, not_b) = if unary { (a, false) } else { site.predicate_source(2)? };
    let detail = flag(not_a, NEGATED_A) | flag(not_b, NEGATED_B);
    site.emit(Encoded { detail, ..Encoded::new(run, Family::Logic, &[to, a, b]) })
}

#[inline(always)]
fn combined(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    of: impl Fn(u32, u32) -> u32,
) -> Checked<Flow> {
    let source = |slot: Slot, negated: u32| {
        let lanes = turn.registers.predicate(slot);
        if instruction.detail & negated != 0 { !lanes } else { lanes }
    };
    let [to, a, b] = [0, 1, 2].map(|i| instruction.operands[i]);
    let lanes = of(source(a, NEGATED_A), source(b, NEGATED_B));
    turn.registers.set_predicate(to, mask, lanes);
    Ok(Flow::Next)
}

fn and_predicates(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    combined(turn, instruction, mask, |a, b| a & b)
}

fn or_predicates(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    combined(turn, instruction, mask, |a, b| a | b)
}

fn xor_predicates(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    combined(turn, instruction, mask, |a, b| a ^ b)
}

fn not_predicate(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    combined(turn, instruction, mask, |a, _| !a)
}

/// What `lop3` does with its predicates (`detail`).
const PLAIN: u32 = 0;
const WITH_OR: u32 = 1;
const WITH_AND: u32 = 2;
const NEGATED_Q: u32 = 4;

/// `lop3.b32 d, a, b, c, table` and `lop3.or.b32 d|p, a, b, c, table, q`.
fn table(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let combination = match (modifiers.take("or"), modifiers.take("and")) {
        (false, false) => PLAIN,
        (true, false) => WITH_OR,
        (false, true) => WITH_AND,
        _ => return Err(site.error("lop3 takes .or or .and, not both")),
    };
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if kind != Type::B32 {
        return Err(site.wrong_type(kind));
    }
    site.expect_operands(if combination == PLAIN { 5 } else { 6 })?;
    let Operand::Immediate(Immediate::Integer(number @ 0..=255)) = *site.operand(4)? else {
        return Err(site.error("lop3's table is a number from 0 to 255"));
    };
    let mut operands = Vec::with_capacity(6);
    let mut detail = combination;
    if combination == PLAIN {
        operands.push(site.typed_operand(0, kind)?);
    } else {
        let Operand::Pair(pair) = site.operand(0)? else {
            return Err(site.error("expected two results d|p"));
        };
        operands.push(site.destination(&pair.0, kind)?.0);
    }
    for i in 1..4 {
        operands.push(site.typed_operand(i, kind)?);
    }
    if let (Operand::Pair(pair), false) = (site.operand(0)?, combination == PLAIN) {
        let (q, negated) = site.predicate_source(5)?;
        operands.extend([site.predicate_result(&pair.1)?, q]);
        detail |= flag(negated, NEGATED_Q);
    }
    let run = look_up(site.host());
    site.emit(Encoded {
        number: number as i64,
        detail,
        ..Encoded::new(run, Family::Logic, &operands)
    })
}

crate::run! {
    fn look_up(turn, instruction, mask) {
        let [d, a, b, c, p, q] = instruction.operands;
        let [a, b, c] = [a, b, c].map(|slot| turn.registers.get::<u32>(slot));
        // Bit i of the table, spread over a whole number, is the result where (a, b, c) are i's bits.
        let results: [u32; 8] = std::array::from_fn(|i| 0u32.wrapping_sub((instruction.number >> i & 1) as u32));
        let mut out = [0u32; LANES];
        for lane in 0..LANES {
            let (a, b, c) = (a[lane], b[lane], c[lane]);
            let by_c = |i: usize| results[2 * i] ^ (c & (results[2 * i] ^ results[2 * i + 1]));
            let by_b = |i: usize| by_c(2 * i) ^ (b & (by_c(2 * i) ^ by_c(2 * i + 1)));
            out[lane] = by_b(0) ^ (a & (by_b(0) ^ by_b(1)));
        }
        turn.registers.set(d, mask, &out);
        if instruction.detail != PLAIN {
            let some = lanes_where(|lane| out[lane] != 0);
            let held = turn.registers.predicate(q);
            let held = if instruction.detail & NEGATED_Q != 0 { !held } else { held };
            let lanes = if instruction.detail & WITH_OR != 0 { some | held } else { some & held };
            turn.registers.set_predicate(p, mask, lanes);
        }
        Ok(Flow::Next)
    }
}
