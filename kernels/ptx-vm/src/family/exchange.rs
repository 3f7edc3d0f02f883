//! What lanes of a warp tell each other: `shfl vote match redux activemask elect`.

use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult, Rule, Violation};
use crate::program::{Family, Instruction, Run};
use crate::registers::{ALL, LANES, Slot};
use crate::shapes::lanes_where;
use crate::syntax::{Operand, Type};
use crate::turn::{Flow, Turn};

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    if site.opcode() == "activemask" {
        return active_lanes(site, modifiers);
    }
    if !modifiers.take("sync") {
        return Err(site.error("only the .sync form exists since sm_70"));
    }
    match site.opcode() {
        "shfl" => shuffle(site, modifiers),
        "vote" => vote(site, modifiers),
        "match" => find_equal(site, modifiers),
        "redux" => reduce(site, modifiers),
        _ => elect(site, modifiers),
    }
}

/// Runs `body` for the lanes of each member mask: tiles of a warp come with a mask each. Lanes wait for those of their
/// mask that are not here; a mask without the lane itself, or that its lanes do not agree on, is refused.
#[inline(always)]
pub(super) fn in_groups(
    turn: &mut Turn<'_>,
    members: Slot,
    mask: u32,
    mut body: impl FnMut(&mut Turn<'_>, u32) -> Checked<()>,
) -> Checked<Flow> {
    let masks = turn.registers.get::<u32>(members);
    if mask == ALL && masks == [ALL; LANES] {
        return body(turn, ALL).map(|()| Flow::Next);
    }
    let (mut left, mut done, mut awaited) = (mask, 0, 0);
    while left != 0 {
        let group = group(&masks, mask, left.trailing_zeros() as usize)?;
        match group.members & turn.live & !mask {
            0 => {
                body(turn, group.here)?;
                done |= group.here;
            }
            _ => awaited |= group.members,
        }
        left &= !group.here;
    }
    Ok(match (done, awaited) {
        (_, 0) => Flow::Next,
        (0, members) => Flow::Converge(members),
        (done, members) => Flow::Part { done, members },
    })
}

/// The lanes of a member mask, and those of them that are here.
struct Group {
    members: u32,
    here: u32,
}

/// The group of lane `first`.
#[inline(never)]
fn group(masks: &[u32; LANES], mask: u32, first: usize) -> Checked<Group> {
    let members = masks[first];
    let here = members & mask;
    let differs = |lane: &usize| here >> lane & 1 == 1 && masks[*lane] != members;
    let message = match (0..LANES).find(differs) {
        None if here >> first & 1 == 1 => return Ok(Group { members, here }),
        None => format!("member mask {members:#010x} in lane {first}, which it does not name"),
        Some(lane) => format!(
            "member mask {:#010x} in lane {lane}, {members:#010x} in lane {first}",
            masks[lane]
        ),
    };
    let lane = (0..LANES).find(differs).unwrap_or(first);
    Err(Box::new(Violation::by(Rule::InactiveLane, lane as u32, message)))
}

/// `shfl.sync.mode.b32 d|p, a, b, c, members`: operands `d, p, a, b, c, members`.
fn shuffle(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    site.expect_operands(5)?;
    let mode =
        modifiers.take_one(|m| ["up", "down", "bfly", "idx"].iter().position(|mode| *mode == m));
    let Some(mode) = mode else { return Err(site.error("expected up, down, bfly or idx")) };
    if !modifiers.take("b32") {
        return Err(site.error("expected .b32"));
    }
    modifiers.finish()?;
    let sink = Operand::Sink;
    let (to, holds) = match site.operand(0)? {
        Operand::Pair(pair) => (&pair.0, &pair.1),
        single => (single, &sink),
    };
    let to = site.destination(to, Type::B32)?.0;
    let holds = site.predicate_result(holds)?;
    let from = site.source(1, Type::B32)?;
    let (b, c) = (site.source(2, Type::B32)?, site.source(3, Type::B32)?);
    let members = site.source(4, Type::B32)?;
    let encoded =
        Encoded::new(run_shuffle(site.host()), Family::Exchange, &[to, holds, from, b, c, members]);
    site.emit(Encoded { detail: mode as u32, ..encoded })
}

crate::run! {
    /// PTX ISA, `shfl.sync`, the pseudo code of its semantics.
    fn run_shuffle(turn, instruction, mask) {
        in_groups(turn, instruction.operands[5], mask, #[inline(always)] |turn, mask| match instruction.detail {
            0 => permute(turn, instruction, mask, #[inline(always)] |here, shift, _, _, most| {
                (here.wrapping_sub(shift), here as i32 - shift as i32 >= most as i32)
            }),
            1 => permute(turn, instruction, mask, #[inline(always)] |here, shift, _, _, most| {
                (here + shift, here + shift <= most)
            }),
            2 => permute(turn, instruction, mask, #[inline(always)] |here, shift, _, _, most| {
                (here ^ shift, here ^ shift <= most)
            }),
            _ => permute(turn, instruction, mask, #[inline(always)] |_, shift, segment, least, most| {
                let source = least | (shift & !segment);
                (source, source <= most)
            }),
        })
    }
}

/// `source(lane, b, segment mask, least and most lane of the segment)` gives the lane read from and whether it is inside;
/// a lane whose source is outside reads itself.
#[inline(always)]
fn permute(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    source: impl Fn(u32, u32, u32, u32, u32) -> (u32, bool),
) -> Checked<()> {
    let [to, holds, from, b, c, _] = instruction.operands;
    let value = turn.registers.get::<u32>(from);
    let (b, c) = (turn.registers.get::<u32>(b), turn.registers.get::<u32>(c));
    let (mut sources, mut inside) = ([0; LANES], [0; LANES]);
    for lane in 0..LANES {
        let (here, segment) = (lane as u32, c[lane] >> 8 & 31);
        let (least, most) = (here & segment, (here & segment) | (c[lane] & 31 & !segment));
        let (at, valid) = source(here, b[lane] & 31, segment, least, most);
        sources[lane] = if valid { at & 31 } else { here };
        inside[lane] = u32::from(valid);
    }
    if mask != ALL {
        let inactive = |lane: &usize| mask >> lane & 1 == 1 && mask >> sources[*lane] & 1 == 0;
        if let Some(lane) = (0..LANES).find(inactive) {
            let message = format!("shfl reads lane {}, which is not active", sources[lane]);
            return Err(Box::new(Violation::by(Rule::InactiveLane, lane as u32, message)));
        }
    }
    let out = std::array::from_fn(|lane| value[sources[lane] as usize & 31]);
    turn.registers.set::<u32>(to, mask, &out);
    turn.registers.set_predicate(holds, mask, lanes_where(|lane| inside[lane] == 1));
    Ok(())
}

/// A predicate's lanes, turned round if it was written with an exclamation mark.
fn holding(turn: &Turn<'_>, slot: Slot, negated: bool) -> u32 {
    let lanes = turn.registers.predicate(slot);
    if negated { !lanes } else { lanes }
}

/// Operands `d, p, members`; `detail` 1: negated.
fn vote(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    site.expect_operands(3)?;
    let mode =
        modifiers.take_one(|m| ["all", "any", "uni", "ballot"].iter().position(|mode| *mode == m));
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let (predicate, negated) = site.predicate_source(1)?;
    let members = site.source(2, Type::B32)?;
    let (run, to): (Run, _) = match (mode, kind) {
        (Some(3), Type::B32) => (ballot, site.result(0, Type::B32)?),
        (Some(0), Type::Pred) => (vote_all, site.predicate_result(site.operand(0)?)?),
        (Some(1), Type::Pred) => (vote_any, site.predicate_result(site.operand(0)?)?),
        (Some(2), Type::Pred) => (vote_uniform, site.predicate_result(site.operand(0)?)?),
        _ => return Err(site.error("expected all.pred, any.pred, uni.pred or ballot.b32")),
    };
    let encoded = Encoded::new(run, Family::Exchange, &[to, predicate, members]);
    site.emit(Encoded { detail: u32::from(negated), ..encoded })
}

fn ballot(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    in_groups(turn, instruction.operands[2], mask, |turn, mask| {
        let lanes = mask & holding(turn, instruction.operands[1], instruction.detail == 1);
        turn.registers.set(instruction.operands[0], mask, &[lanes; LANES]);
        Ok(())
    })
}

fn decide(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    rule: fn(u32, u32) -> bool,
) -> Checked<Flow> {
    in_groups(turn, instruction.operands[2], mask, |turn, mask| {
        let lanes = mask & holding(turn, instruction.operands[1], instruction.detail == 1);
        let answer = if rule(lanes, mask) { u32::MAX } else { 0 };
        turn.registers.set_predicate(instruction.operands[0], mask, answer);
        Ok(())
    })
}

fn vote_all(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    decide(turn, instruction, mask, |lanes, mask| lanes == mask)
}

fn vote_any(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    decide(turn, instruction, mask, |lanes, _| lanes != 0)
}

fn vote_uniform(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    decide(turn, instruction, mask, |lanes, mask| lanes == 0 || lanes == mask)
}

/// `match.any d, a, members` and `match.all d|p, a, members`: operands `d, p, a, members`.
fn find_equal(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    site.expect_operands(3)?;
    let all = modifiers.take("all");
    if !all && !modifiers.take("any") {
        return Err(site.error("expected any or all"));
    }
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let run: Run = match (all, kind) {
        (false, Type::B32) => match_any::<u32>,
        (false, Type::B64) => match_any::<u64>,
        (true, Type::B32) => match_all::<u32>,
        (true, Type::B64) => match_all::<u64>,
        _ => return Err(site.error("expected .b32 or .b64")),
    };
    let sink = Operand::Sink;
    let (to, holds) = match site.operand(0)? {
        Operand::Pair(pair) if all => (&pair.0, &pair.1),
        single => (single, &sink),
    };
    let to = site.destination(to, Type::B32)?.0;
    let holds = site.predicate_result(holds)?;
    let (value, members) = (site.source(1, kind)?, site.source(2, Type::B32)?);
    site.emit(Encoded::new(run, Family::Exchange, &[to, holds, value, members]))
}

fn match_any<T: crate::registers::Lane + PartialEq>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let [to, _, value, members, ..] = instruction.operands;
    in_groups(turn, members, mask, |turn, mask| {
        let value = turn.registers.get::<T>(value);
        let out =
            std::array::from_fn(|lane| mask & lanes_where(|other| value[other] == value[lane]));
        turn.registers.set::<u32>(to, mask, &out);
        Ok(())
    })
}

fn match_all<T: crate::registers::Lane + PartialEq>(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
) -> Checked<Flow> {
    let [to, holds, value, members, ..] = instruction.operands;
    in_groups(turn, members, mask, |turn, mask| {
        let value = turn.registers.get::<T>(value);
        let first = value[mask.trailing_zeros() as usize];
        let all = mask & lanes_where(|lane| value[lane] == first) == mask;
        turn.registers.set(to, mask, &[if all { mask } else { 0 }; LANES]);
        turn.registers.set_predicate(holds, mask, if all { u32::MAX } else { 0 });
        Ok(())
    })
}

/// `redux.sync.op.type d, a, members`.
fn reduce(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    site.expect_operands(3)?;
    let operation = modifiers
        .take_one(|m| ["add", "min", "max", "and", "or", "xor"].iter().position(|o| *o == m));
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    let run: Run = match (operation, kind) {
        (Some(0), Type::U32 | Type::S32) => reduce_add,
        (Some(1), Type::U32) => reduce_min,
        (Some(1), Type::S32) => reduce_min_signed,
        (Some(2), Type::U32) => reduce_max,
        (Some(2), Type::S32) => reduce_max_signed,
        (Some(3), Type::B32) => reduce_and,
        (Some(4), Type::B32) => reduce_or,
        (Some(5), Type::B32) => reduce_xor,
        _ => return Err(site.error("expected add, min, max of u32 or s32, or and, or, xor of b32")),
    };
    let to = site.result(0, kind)?;
    let (value, members) = (site.source(1, kind)?, site.source(2, Type::B32)?);
    site.emit(Encoded::new(run, Family::Exchange, &[to, value, members]))
}

fn fold(
    turn: &mut Turn<'_>,
    instruction: &Instruction,
    mask: u32,
    f: fn(u32, u32) -> u32,
) -> Checked<Flow> {
    let [to, value, members, ..] = instruction.operands;
    in_groups(turn, members, mask, |turn, mask| {
        let value = turn.registers.get::<u32>(value);
        let lanes = (0..LANES).filter(|lane| mask >> lane & 1 == 1);
        let folded = lanes.map(|lane| value[lane]).reduce(f).unwrap_or_default();
        turn.registers.set(to, mask, &[folded; LANES]);
        Ok(())
    })
}

macro_rules! folds {
    ($($name:ident: $f:expr;)*) => {$(
        fn $name(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
            fold(turn, instruction, mask, $f)
        }
    )*};
}

folds! {
    reduce_add: u32::wrapping_add;
    reduce_min: u32::min;
    reduce_max: u32::max;
    reduce_min_signed: |a, b| (a as i32).min(b as i32) as u32;
    reduce_max_signed: |a, b| (a as i32).max(b as i32) as u32;
    reduce_and: |a, b| a & b;
    reduce_or: |a, b| a | b;
    reduce_xor: |a, b| a ^ b;
}

fn active_lanes(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    site.expect_operands(1)?;
    modifiers.take("b32");
    modifiers.finish()?;
    let to = site.result(0, Type::B32)?;
    site.emit(Encoded::new(run_active_lanes, Family::Exchange, &[to]))
}

fn run_active_lanes(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    turn.registers.set(instruction.operands[0], mask, &[mask; LANES]);
    Ok(Flow::Next)
}

/// `elect.sync d|p, members`: the lowest lane is the leader.
fn elect(site: &mut Site<'_, '_, '_>, modifiers: Modifiers<'_>) -> LoadResult<()> {
    site.expect_operands(2)?;
    modifiers.finish()?;
    let Operand::Pair(pair) = site.operand(0)? else { return Err(site.error("expected d|p")) };
    let to = site.destination(&pair.0, Type::B32)?.0;
    let holds = site.predicate_result(&pair.1)?;
    let members = site.source(1, Type::B32)?;
    site.emit(Encoded::new(run_elect, Family::Exchange, &[to, holds, members]))
}

fn run_elect(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let [to, holds, members, ..] = instruction.operands;
    in_groups(turn, members, mask, |turn, mask| {
        let leader = mask.trailing_zeros();
        turn.registers.set(to, mask, &[leader; LANES]);
        turn.registers.set_predicate(holds, mask, 1 << leader);
        Ok(())
    })
}
