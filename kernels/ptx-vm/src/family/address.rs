//! What loads, stores and atomics have in common: spaces, cache hints, strengths, addresses of lanes; and the
//! instructions about addresses: `cvta isspacep prefetch createpolicy`.

use crate::decode::{Encoded, Modifiers, Place, Site};
use crate::error::{Checked, LoadResult};
use crate::memory::{Scope, Strength, window};
use crate::program::{Family, Instruction};
use crate::registers::{LANES, Slot};
use crate::shapes::{Unary, lanes_where, unary};
use crate::syntax::{Space, Type};
use crate::turn::{Flow, How, Turn};

/// Which operand holds the base of an address, and whether it has 64 bits.
pub const BASE: usize = 0;

/// An address decoded: the slot of its base (any, where there is none), its offset, and `detail` bits.
#[derive(Debug, Clone, Copy)]
pub struct Address {
    pub base: Slot,
    pub offset: i64,
    pub detail: u32,
}

const WIDE: u32 = 1;
const BASED: u32 = 2;
const SPACE_SHIFT: u32 = 2;
const STRENGTH_SHIFT: u32 = 5;
const BLOCK_SCOPE: u32 = 1 << 8;
/// The first bit that an instruction may use for itself.
pub const FREE_SHIFT: u32 = 9;

const SPACES: [Space; 6] =
    [Space::Generic, Space::Global, Space::Shared, Space::Local, Space::Constant, Space::Parameter];
const STRENGTHS: [Strength; 5] = [
    Strength::Weak,
    Strength::Relaxed,
    Strength::Acquire,
    Strength::Release,
    Strength::AcquireRelease,
];

/// Takes a state space off the modifiers; `None` is generic.
pub fn take_space(modifiers: &mut Modifiers<'_>) -> Space {
    let space = modifiers.take_one(|m| match m {
        "global" => Some(Space::Global),
        "shared" | "shared::cta" | "shared::cluster" => Some(Space::Shared),
        "local" => Some(Space::Local),
        "const" => Some(Space::Constant),
        "param" | "param::entry" | "param::func" => Some(Space::Parameter),
        _ => None,
    });
    space.unwrap_or(Space::Generic)
}

/// Takes semantics and scope. `weak` is what holds without any.
pub fn take_how(modifiers: &mut Modifiers<'_>, without: Strength) -> How {
    // Of memory-mapped devices there are none; what is said beside it holds.
    let mapped = modifiers.take("mmio");
    let strength = modifiers.take_one(|m| match m {
        "weak" => Some(Strength::Weak),
        "volatile" | "relaxed" => Some(Strength::Relaxed),
        "acquire" => Some(Strength::Acquire),
        "release" => Some(Strength::Release),
        "acq_rel" => Some(Strength::AcquireRelease),
        _ => None,
    });
    let without = if mapped { Strength::Relaxed } else { without };
    How { strength: strength.unwrap_or(without), scope: take_scope(modifiers) }
}

/// Takes `.cta`, `.cluster`, `.gpu` or `.sys`.
pub fn take_scope(modifiers: &mut Modifiers<'_>) -> Scope {
    let scope = modifiers.take_one(|m| match m {
        "cta" => Some(Scope::Block),
        "cluster" | "gpu" | "sys" => Some(Scope::Device),
        _ => None,
    });
    scope.unwrap_or_default()
}

/// Takes what only steers caches, and says how many operands there are for it behind the others.
pub fn take_hints(modifiers: &mut Modifiers<'_>) -> usize {
    let policies = usize::from(modifiers.take("L2::cache_hint"));
    let hint = |m: &str| {
        let known = ["ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc"].contains(&m);
        (known || m.starts_with("L1::") || m.starts_with("L2::")).then_some(())
    };
    while modifiers.take_one(hint).is_some() {}
    policies
}

/// The operands there have to be, and behind them the policy that [`take_hints`] has announced.
///
/// # Errors
/// There are others, or the policy has not 64 bits.
pub fn expect_with_policy(
    site: &mut Site<'_, '_, '_>,
    count: usize,
    policies: usize,
) -> LoadResult<()> {
    site.expect_operands(count + policies)?;
    (count..count + policies).try_for_each(|index| site.source(index, Type::B64).map(drop))
}

impl Address {
    /// The address operand with this index, in `space` unless its name says more.
    ///
    /// # Errors
    /// The operand is no address, or names a variable of another space.
    pub fn decode(
        site: &mut Site<'_, '_, '_>,
        index: usize,
        space: Space,
        how: How,
    ) -> LoadResult<Self> {
        let Place { base, offset, space: named } = site.place(index)?;
        let (space, offset) = match (space, named) {
            (space, None) => (space, offset),
            (Space::Generic, Some(_)) if base.is_some() => {
                return Err(site.error(
                    "a generic access by name in a function that is no part of its caller",
                ));
            }
            (Space::Generic, Some(named)) => {
                (Space::Generic, window::generic(named, offset as u64) as i64)
            }
            // Arguments of a device function that is written out lie in local memory.
            (Space::Parameter, Some(Space::Local)) => (Space::Local, offset),
            (space, Some(named)) if space == named => (space, offset),
            (space, Some(named)) => {
                return Err(site.error(format!("a {named:?} variable in a {space:?} access")));
            }
        };
        let index =
            |list: &[Space]| list.iter().position(|s| *s == space).unwrap_or_default() as u32;
        let strength = STRENGTHS.iter().position(|s| *s == how.strength).unwrap_or_default() as u32;
        let mut detail = index(&SPACES) << SPACE_SHIFT | strength << STRENGTH_SHIFT;
        if how.scope == Scope::Block {
            detail |= BLOCK_SCOPE;
        }
        let base = base.map_or(Slot::default(), |(slot, wide)| {
            detail |= BASED | if wide { WIDE } else { 0 };
            slot
        });
        Ok(Self { base, offset, detail })
    }
}

/// Space and strength in `detail`.
#[inline(always)]
pub fn manner(instruction: &Instruction) -> (Space, How) {
    let strength = STRENGTHS[(instruction.detail >> STRENGTH_SHIFT & 7) as usize];
    let scope = if instruction.detail & BLOCK_SCOPE != 0 { Scope::Block } else { Scope::Device };
    (SPACES[(instruction.detail >> SPACE_SHIFT & 7) as usize], How { strength, scope })
}

/// The lanes' addresses.
#[inline(always)]
pub fn addresses(turn: &Turn<'_>, instruction: &Instruction) -> [u64; LANES] {
    let offset = instruction.number as u64;
    match instruction.detail & (BASED | WIDE) {
        0 => [offset; LANES],
        BASED => {
            let base = turn.registers.get::<u32>(instruction.operands[BASE]);
            // 32-bit addresses stay 32-bit: a negative offset does not leave them.
            base.map(|base| u64::from(base.wrapping_add(offset as u32)))
        }
        _ => {
            let base = turn.registers.get::<u64>(instruction.operands[BASE]);
            base.map(|base| base.wrapping_add(offset))
        }
    }
}

struct ToGeneric<const BASE: u64>;

impl<const BASE: u64> Unary<u64, u64> for ToGeneric<BASE> {
    #[inline(always)]
    fn of(a: u64) -> u64 {
        a.wrapping_add(BASE)
    }
}

struct FromGeneric<const BASE: u64>;

impl<const BASE: u64> Unary<u64, u64> for FromGeneric<BASE> {
    #[inline(always)]
    fn of(a: u64) -> u64 {
        a.wrapping_sub(BASE)
    }
}

pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    match site.opcode() {
        "cvta" => convert(site),
        "isspacep" => is_in_space(site),
        "createpolicy" => create_policy(site),
        _ => prefetch(site),
    }
}

/// `cvta{.to}.space.u64 d, a`.
fn convert(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(2)?;
    let mut modifiers = site.modifiers();
    let from_generic = modifiers.take("to");
    let space = take_space(&mut modifiers);
    let kind = modifiers.take_last_type()?;
    modifiers.finish()?;
    if kind != Type::U64 {
        return Err(site.error("addresses have 64 bits here"));
    }
    let host = site.host();
    let run = match (from_generic, space) {
        (false, Space::Shared) => unary::<ToGeneric<{ window::SHARED }>, u64, u64>(host),
        (false, Space::Local) => unary::<ToGeneric<{ window::LOCAL }>, u64, u64>(host),
        (false, Space::Parameter) => unary::<ToGeneric<{ window::PARAMETERS }>, u64, u64>(host),
        (true, Space::Shared) => unary::<FromGeneric<{ window::SHARED }>, u64, u64>(host),
        (true, Space::Local) => unary::<FromGeneric<{ window::LOCAL }>, u64, u64>(host),
        (true, Space::Parameter) => unary::<FromGeneric<{ window::PARAMETERS }>, u64, u64>(host),
        (_, Space::Global | Space::Constant) => unary::<ToGeneric<0>, u64, u64>(host),
        (_, Space::Generic) => return Err(site.error("expected a state space")),
    };
    let (to, from) = (site.result(0, kind)?, site.source(1, kind)?);
    site.emit(Encoded::new(run, Family::Integer, &[to, from]))
}

/// `isspacep.space p, a`.
fn is_in_space(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    site.expect_operands(2)?;
    let mut modifiers = site.modifiers();
    let space = take_space(&mut modifiers);
    modifiers.finish()?;
    let to = site.predicate_result(site.operand(0)?)?;
    let from = site.source(1, Type::U64)?;
    let number = SPACES.iter().position(|s| *s == space).unwrap_or_default() as i64;
    site.emit(Encoded { number, ..Encoded::new(run_is_in_space, Family::Compare, &[to, from]) })
}

fn run_is_in_space(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let space = SPACES[instruction.number as usize];
    let addresses = turn.registers.get::<u64>(instruction.operands[1]);
    let lanes = lanes_where(|lane| window::split(addresses[lane]).0 == space);
    turn.registers.set_predicate(instruction.operands[0], mask, lanes);
    Ok(Flow::Next)
}

/// `prefetch prefetchu discard applypriority`: nothing to do for a machine without caches.
fn prefetch(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    take_space(&mut modifiers);
    while modifiers
        .take_one(|m| {
            (m == "L1" || m == "L2" || m == "tensormap" || m.starts_with("L2::")).then_some(())
        })
        .is_some()
    {}
    modifiers.finish()?;
    site.place(0)?;
    site.emit(Encoded::new(nothing, Family::Load, &[]))
}

/// `createpolicy.fractional`, `.range` and `.cvt`: a number that a machine without caches makes nothing of.
fn create_policy(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let manner =
        modifiers.take_one(|m| ["fractional", "range", "cvt"].iter().position(|known| *known == m));
    modifiers.take("global");
    while modifiers.take_one(|m| (m == "L2" || m.starts_with("L2::")).then_some(())).is_some() {}
    if !modifiers.take("b64") {
        return Err(site.error("expected .b64"));
    }
    modifiers.finish()?;
    match (manner, site.instruction.operands.len()) {
        (Some(0), 1) => {}
        (Some(0), 2) => drop(site.source(1, Type::F32)?),
        (Some(1), 4) => {
            site.place(1)?;
            (2..4).try_for_each(|index| site.source(index, Type::U32).map(drop))?;
        }
        (Some(2), 2) => drop(site.source(1, Type::B64)?),
        _ => {
            return Err(
                site.error("expected .fractional, .range or .cvt with one, three or one source")
            );
        }
    }
    let (to, zero) = (site.result(0, Type::B64)?, site.constant(0, true));
    let run = unary::<ToGeneric<0>, u64, u64>(site.host());
    site.emit(Encoded::new(run, Family::Integer, &[to, zero]))
}

/// An instruction without effect here.
pub fn nothing(_: &mut Turn<'_>, _: &Instruction, _: u32) -> Checked<Flow> {
    Ok(Flow::Next)
}
