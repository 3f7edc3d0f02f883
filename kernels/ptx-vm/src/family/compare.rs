//! `setp` and `set`: comparisons into a predicate, two predicates or a number, combined with a further predicate.

use super::relation::{
    Basis, Comparison, Different, Equal, Flushed, Less, LessEqual, Order, Sort, Unordered,
};
use crate::arithmetic::half::{from_bf16, from_f16};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult};
use crate::program::{Family, Instruction, Run, flag};
use crate::registers::{LANES, Lane, Slot};
use crate::shapes::{Host, Relation, lanes_where};
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};

/// The comparison's answer is negated (`detail`).
const NEGATED: u32 = 1;
/// So is the predicate it is combined with.
const NEGATED_C: u32 = 2;
/// How they are combined.
const AND: u32 = 4;
const OR: u32 = 8;
const XOR: u32 = 16;
/// The result is a number (`set`).
const NUMBER: u32 = 32;
/// Of halves: subnormals count as zeros; the format is bf16; there are two in a register; and from here on the basis.
const FLUSH: u32 = 64;
const BFLOAT: u32 = 128;
const PAIR: u32 = 256;
const BASIS: u32 = 16;

/// Slots of the operands; `set` has one result.
const P: usize = 0;
const Q: usize = 1;
const A: usize = 2;
const B: usize = 3;
const C: usize = 4;

/// The answer, or its complement, combined with the third source.
#[inline(always)]
fn combined(turn: &Turn<'_>, instruction: &Instruction, holds: u32) -> u32 {
    let detail = instruction.detail;
    if detail & (AND | OR | XOR) == 0 {
        return holds;
    }
    let c = turn.registers.predicate(instruction.operands[C]);
    let c = if detail & NEGATED_C != 0 { !c } else { c };
    match detail & (AND | OR | XOR) {
        AND => holds & c,
        OR => holds | c,
        _ => holds ^ c,
    }
}

/// Writes `p`, and `q` or the number: `instruction.number` has the bits of a true answer in its lower and upper half.
#[inline(always)]
fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, p: u32, q: u32) {
    if instruction.detail & NUMBER != 0 {
        return write_number(turn, instruction, mask, p, q);
    }
    turn.registers.set_predicate(instruction.operands[P], mask, p);
    turn.registers.set_predicate(instruction.operands[Q], mask, q);
}

#[inline(never)]
fn write_number(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, low: u32, high: u32) {
    let whole = instruction.number as u32;
    let out: [u32; LANES] = std::array::from_fn(|lane| {
        let keep = flag(low >> lane & 1 == 1, 0xffff) | flag(high >> lane & 1 == 1, 0xffff_0000);
        whole & keep
    });
    turn.registers.set(instruction.operands[P], mask, &out);
}

crate::run! {
    fn compared<F: Relation<A>, A: Lane>(turn, instruction, mask) {
        let a = turn.registers.get::<A>(instruction.operands[A]);
        let b = turn.registers.get::<A>(instruction.operands[B]);
        let holds = lanes_where(|lane| F::holds(a[lane], b[lane]));
        let holds = holds ^ 0u32.wrapping_sub(instruction.detail & NEGATED);
        let p = combined(turn, instruction, holds);
        let second = if instruction.detail & NUMBER != 0 { holds } else { !holds };
        let q = combined(turn, instruction, second);
        write(turn, instruction, mask, p, q);
        Ok(Flow::Next)
    }
}

/// Names the relation a basis stands for.
macro_rules! with_basis {
    ($basis:expr, $r:ident => $body:expr) => {
        match $basis {
            Basis::Equal => {
                type $r = Equal;
                Some($body)
            }
            Basis::Less => {
                type $r = Less;
                Some($body)
            }
            Basis::LessEqual => {
                type $r = LessEqual;
                Some($body)
            }
            Basis::Different => {
                type $r = Different;
                Some($body)
            }
            Basis::Unordered => {
                type $r = Unordered;
                Some($body)
            }
        }
    };
}

fn integers<A: Lane>(host: Host, basis: Basis) -> Option<Run>
where
    Equal: Relation<A>,
    Less: Relation<A>,
    LessEqual: Relation<A>,
{
    Some(match basis {
        Basis::Equal => compared::<Equal, A>(host),
        Basis::Less => compared::<Less, A>(host),
        Basis::LessEqual => compared::<LessEqual, A>(host),
        Basis::Different | Basis::Unordered => return None,
    })
}

fn run(host: Host, kind: Type, flush: bool, basis: Basis) -> Option<Run> {
    match kind {
        Type::U16 | Type::B16 => integers::<u16>(host, basis),
        Type::S16 => integers::<i16>(host, basis),
        Type::U32 | Type::B32 => integers::<u32>(host, basis),
        Type::S32 => integers::<i32>(host, basis),
        Type::U64 | Type::B64 => integers::<u64>(host, basis),
        Type::S64 => integers::<i64>(host, basis),
        Type::F32 if flush => with_basis!(basis, R => compared::<Flushed<R>, f32>(host)),
        Type::F32 => with_basis!(basis, R => compared::<R, f32>(host)),
        Type::F64 => with_basis!(basis, R => compared::<R, f64>(host)),
        Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2 => Some(halves),
        _ => None,
    }
}

/// The order of the halves at `shift`, as `detail` reads them.
fn order(a: &[u32; LANES], b: &[u32; LANES], shift: u32, detail: u32) -> Order {
    let read = |x: u32| {
        let bits = (x >> shift) as u16;
        let subnormal = detail & FLUSH != 0 && bits & 0x7c00 == 0;
        match detail & BFLOAT {
            0 => from_f16(if subnormal { bits & 0x8000 } else { bits }),
            _ => from_bf16(bits),
        }
    };
    Order {
        less: lanes_where(|lane| read(a[lane]) < read(b[lane])),
        equal: lanes_where(|lane| read(a[lane]) == read(b[lane])),
        unordered: lanes_where(|lane| read(a[lane]).is_nan() | read(b[lane]).is_nan()),
    }
}

/// Halves, one or two in a register: of two, `p` is the lower's answer and `q` the upper's.
fn halves(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let detail = instruction.detail;
    let basis = Basis::from_number((detail >> BASIS) as u8);
    let a = turn.registers.get::<u32>(instruction.operands[A]);
    let b = turn.registers.get::<u32>(instruction.operands[B]);
    let negated = 0u32.wrapping_sub(detail & NEGATED);
    let low = order(&a, &b, 0, detail).lanes(basis) ^ negated;
    let second = match detail & (PAIR | NUMBER) {
        0 => !low,
        NUMBER => low,
        _ => order(&a, &b, 16, detail).lanes(basis) ^ negated,
    };
    let (p, q) = (combined(turn, instruction, low), combined(turn, instruction, second));
    write(turn, instruction, mask, p, q);
    Ok(Flow::Next)
}

/// The modifiers both instructions take.
struct Terms {
    comparison: Comparison,
    combination: u32,
    flush: bool,
    kind: Type,
}

fn terms(site: &Site<'_, '_, '_>, modifiers: &mut Modifiers<'_>) -> LoadResult<Terms> {
    let kind = modifiers.take_last_type()?;
    let float =
        matches!(kind, Type::F32 | Type::F64 | Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2);
    let comparison = modifiers.take_one(|part| Comparison::parse(part, float));
    let comparison = comparison.ok_or_else(|| site.error("the comparison is missing"))?;
    let combination = modifiers.take_one(|part| match part {
        "and" => Some(AND),
        "or" => Some(OR),
        "xor" => Some(XOR),
        _ => None,
    });
    let flush = matches!(kind, Type::F32 | Type::F16 | Type::F16x2) && modifiers.take("ftz");
    let bits = matches!(kind, Type::B16 | Type::B32 | Type::B64);
    let unsigned = matches!(kind, Type::U16 | Type::U32 | Type::U64);
    let fits = match comparison.sort {
        Sort::All => !bits || comparison.basis == Basis::Equal,
        Sort::Unsigned => unsigned,
        Sort::Float => float,
    };
    match fits {
        true => Ok(Terms { comparison, combination: combination.unwrap_or(0), flush, kind }),
        false => Err(site.error(format!("this comparison does not exist for {kind:?}"))),
    }
}

impl Terms {
    fn pairs(&self) -> bool {
        matches!(self.kind, Type::F16x2 | Type::Bf16x2)
    }

    fn detail(&self) -> u32 {
        let bfloat = matches!(self.kind, Type::Bf16 | Type::Bf16x2);
        self.combination
            | flag(self.comparison.negated, NEGATED)
            | flag(self.flush, FLUSH)
            | flag(bfloat, BFLOAT)
            | flag(self.pairs(), PAIR)
            | (self.comparison.basis as u32) << BASIS
    }

    /// Slots of results and sources, and `detail`.
    fn encode(&self, site: &mut Site<'_, '_, '_>, p: Slot, q: Slot) -> LoadResult<Encoded> {
        site.expect_operands(if self.combination == 0 { 3 } else { 4 })?;
        let (a, b) = (site.typed_operand(1, self.kind)?, site.typed_operand(2, self.kind)?);
        let (a, b) = if self.comparison.exchanged { (b, a) } else { (a, b) };
        let mut operands = vec![p, q, a, b];
        let mut detail = self.detail();
        if self.combination != 0 {
            let (c, negated) = site.predicate_source(3)?;
            operands.push(c);
            detail |= flag(negated, NEGATED_C);
        }
        let run = run(site.host(), self.kind, self.flush, self.comparison.basis);
        let run = run.ok_or_else(|| site.wrong_type(self.kind))?;
        Ok(Encoded { detail, ..Encoded::new(run, Family::Compare, &operands) })
    }
}

/// `setp.lt.and.f32 p|q, a, b, c`
pub fn decode_predicates(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let terms = terms(site, &mut modifiers)?;
    modifiers.finish()?;
    let (p, q) = match site.operand(0)? {
        Operand::Pair(pair) => (site.predicate_result(&pair.0)?, site.predicate_result(&pair.1)?),
        _ if terms.pairs() => {
            return Err(site.error("expected two results p|q: one for each half"));
        }
        single => (site.predicate_result(single)?, site.predicate_result(&Operand::Sink)?),
    };
    let encoded = terms.encode(site, p, q)?;
    site.emit(encoded)
}

/// `set.lt.and.f32.s32 d, a, b, c`
pub fn decode_number(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let terms = terms(site, &mut modifiers)?;
    let result = modifiers.take_last_type()?;
    modifiers.finish()?;
    let number = match (result, terms.kind) {
        (Type::U32 | Type::S32, _) => 0xffff_ffff,
        (Type::F16x2, Type::F16x2) => 0x3c00_3c00,
        (Type::Bf16x2, Type::Bf16x2) => 0x3f80_3f80,
        (_, Type::F16x2 | Type::Bf16x2) => return Err(site.wrong_type(result)),
        (Type::F16, Type::Bf16) | (Type::Bf16, Type::F16) => return Err(site.wrong_type(result)),
        (Type::U16 | Type::S16, Type::F16 | Type::Bf16) => 0xffff,
        (Type::F16, _) => 0x3c00,
        (Type::Bf16, _) => 0x3f80,
        (Type::F32, Type::F16 | Type::Bf16) => return Err(site.wrong_type(result)),
        (Type::F32, _) => i64::from(1f32.to_bits()),
        _ => return Err(site.wrong_type(result)),
    };
    let to = site.typed_operand(0, result)?;
    let encoded = terms.encode(site, to, to)?;
    site.emit(Encoded { number, detail: encoded.detail | NUMBER, ..encoded })
}
