//! `setp` and `set`: comparisons into a predicate, two predicates or a number, combined with a further predicate.

use super::relation::{
    Basis, Comparison, Different, Equal, Flushed, Less, LessEqual, OfBf16, OfF16, OfFlushedF16,
    Sort, Unordered,
};
use crate::decode::{Encoded, Modifiers, Site};
use crate::error::LoadResult;
use crate::program::{Family, Instruction, Run};
use crate::registers::{LANES, Lane};
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

/// Slots of the operands; `set` has one result.
const P: usize = 0;
const Q: usize = 1;
const A: usize = 2;
const B: usize = 3;
const C: usize = 4;

/// What becomes of the lanes for which a comparison holds.
trait Outcome: 'static {
    fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, holds: u32);
}

struct Predicates;
struct Number;

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

impl Outcome for Predicates {
    #[inline(always)]
    fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, holds: u32) {
        let (p, q) = (combined(turn, instruction, holds), combined(turn, instruction, !holds));
        turn.registers.set_predicate(instruction.operands[P], mask, p);
        turn.registers.set_predicate(instruction.operands[Q], mask, q);
    }
}

impl Outcome for Number {
    /// `instruction.number` where it holds, 0 elsewhere.
    #[inline(always)]
    fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, holds: u32) {
        let holds = combined(turn, instruction, holds);
        let mut out = [0u32; LANES];
        for lane in 0..LANES {
            let keep = 0u32.wrapping_sub(holds >> lane & 1);
            out[lane] = instruction.number as u32 & keep;
        }
        turn.registers.set(instruction.operands[P], mask, &out);
    }
}

crate::run! {
    fn compared<F: Relation<A>, A: Lane, O: Outcome>(turn, instruction, mask) {
        let a = turn.registers.get::<A>(instruction.operands[A]);
        let b = turn.registers.get::<A>(instruction.operands[B]);
        let holds = lanes_where(|lane| F::holds(a[lane], b[lane]));
        let negated = 0u32.wrapping_sub(instruction.detail & NEGATED);
        O::write(turn, instruction, mask, holds ^ negated);
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

fn integers<O: Outcome, A: Lane>(host: Host, basis: Basis) -> Option<Run>
where
    Equal: Relation<A>,
    Less: Relation<A>,
    LessEqual: Relation<A>,
{
    Some(match basis {
        Basis::Equal => compared::<Equal, A, O>(host),
        Basis::Less => compared::<Less, A, O>(host),
        Basis::LessEqual => compared::<LessEqual, A, O>(host),
        Basis::Different | Basis::Unordered => return None,
    })
}

fn run<O: Outcome>(host: Host, kind: Type, flush: bool, basis: Basis) -> Option<Run> {
    match kind {
        Type::U16 | Type::B16 => integers::<O, u16>(host, basis),
        Type::S16 => integers::<O, i16>(host, basis),
        Type::U32 | Type::B32 => integers::<O, u32>(host, basis),
        Type::S32 => integers::<O, i32>(host, basis),
        Type::U64 | Type::B64 => integers::<O, u64>(host, basis),
        Type::S64 => integers::<O, i64>(host, basis),
        Type::F32 if flush => with_basis!(basis, R => compared::<Flushed<R>, f32, O>(host)),
        Type::F32 => with_basis!(basis, R => compared::<R, f32, O>(host)),
        Type::F64 => with_basis!(basis, R => compared::<R, f64, O>(host)),
        Type::F16 if flush => with_basis!(basis, R => compared::<OfFlushedF16<R>, u16, O>(host)),
        Type::F16 => with_basis!(basis, R => compared::<OfF16<R>, u16, O>(host)),
        Type::Bf16 => with_basis!(basis, R => compared::<OfBf16<R>, u16, O>(host)),
        _ => None,
    }
}

crate::run! {
    fn compared_pairs<F: Relation<u16>, O: PairOutcome>(turn, instruction, mask) {
        let a = turn.registers.get::<u32>(instruction.operands[A]);
        let b = turn.registers.get::<u32>(instruction.operands[B]);
        let low = lanes_where(|lane| F::holds(a[lane] as u16, b[lane] as u16));
        let high = lanes_where(|lane| F::holds((a[lane] >> 16) as u16, (b[lane] >> 16) as u16));
        let negated = 0u32.wrapping_sub(instruction.detail & NEGATED);
        let low = combined(turn, instruction, low ^ negated);
        let high = combined(turn, instruction, high ^ negated);
        O::write(turn, instruction, mask, low, high);
        Ok(Flow::Next)
    }
}

/// What becomes of the answers for the lower and the upper half.
trait PairOutcome: 'static {
    fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, low: u32, high: u32);
}

impl PairOutcome for Predicates {
    #[inline(always)]
    fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, low: u32, high: u32) {
        turn.registers.set_predicate(instruction.operands[P], mask, low);
        turn.registers.set_predicate(instruction.operands[Q], mask, high);
    }
}

impl PairOutcome for Number {
    #[inline(always)]
    fn write(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32, low: u32, high: u32) {
        let whole = instruction.number as u32;
        let out: [u32; LANES] = std::array::from_fn(|lane| {
            let keep = (low >> lane & 1) * 0xffff | (high >> lane & 1) * 0xffff_0000;
            whole & keep
        });
        turn.registers.set(instruction.operands[P], mask, &out);
    }
}

fn run_pairs<O: PairOutcome>(host: Host, kind: Type, flush: bool, basis: Basis) -> Option<Run> {
    match kind {
        Type::F16x2 if flush => {
            with_basis!(basis, R => compared_pairs::<OfFlushedF16<R>, O>(host))
        }
        Type::F16x2 => with_basis!(basis, R => compared_pairs::<OfF16<R>, O>(host)),
        Type::Bf16x2 => with_basis!(basis, R => compared_pairs::<OfBf16<R>, O>(host)),
        _ => None,
    }
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

    /// Slots of results and sources, and `detail`.
    fn encode(
        &self,
        site: &mut Site<'_, '_, '_>,
        p: crate::registers::Slot,
        q: crate::registers::Slot,
    ) -> LoadResult<Encoded> {
        site.expect_operands(if self.combination == 0 { 3 } else { 4 })?;
        let (a, b) = (site.typed_operand(1, self.kind)?, site.typed_operand(2, self.kind)?);
        let (a, b) = if self.comparison.exchanged { (b, a) } else { (a, b) };
        let mut operands = vec![p, q, a, b];
        let mut detail = self.combination | if self.comparison.negated { NEGATED } else { 0 };
        if self.combination != 0 {
            let (c, negated) = site.predicate_source(3)?;
            operands.push(c);
            detail |= u32::from(negated) * NEGATED_C;
        }
        let (host, basis) = (site.host(), self.comparison.basis);
        let predicates = site.opcode() == "setp";
        let run = match (predicates, self.pairs()) {
            (true, false) => run::<Predicates>(host, self.kind, self.flush, basis),
            (false, false) => run::<Number>(host, self.kind, self.flush, basis),
            (true, true) => run_pairs::<Predicates>(host, self.kind, self.flush, basis),
            (false, true) => run_pairs::<Number>(host, self.kind, self.flush, basis),
        };
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
        _ if terms.pairs() => return Err(site.error("expected two results p|q: one for each half")),
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
    let half = matches!(terms.kind, Type::F16 | Type::Bf16);
    let number = match (result, half, terms.pairs()) {
        (Type::U32 | Type::S32, _, false) => 0xffff_ffff,
        (Type::F32, false, false) => i64::from(1f32.to_bits()),
        (Type::U16 | Type::S16, true, false) => 0xffff,
        (Type::F16, true, false) => 0x3c00,
        (Type::Bf16, true, false) => 0x3f80,
        (Type::F16x2, false, true) => 0x3c00_3c00,
        (Type::Bf16x2, false, true) => 0x3f80_3f80,
        _ => return Err(site.wrong_type(result)),
    };
    let to = site.typed_operand(0, result)?;
    let encoded = terms.encode(site, to, to)?;
    site.emit(Encoded { number, ..encoded })
}
