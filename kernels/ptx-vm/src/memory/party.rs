//! An access as the race detector sees it: who, when, what, and whether it comes after another.

use super::LANES;
use super::access::{Access, Scope, Strength, lanes};
use super::clock::Clock;
use super::refusal::{Verb, Want};
use crate::error::{Rule, Violation};

/// What an access was, as far as races go: a set of the bits below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kind(u8);

const WRITE: u8 = 1;
/// Strong accesses of a block do not race with one another,
const STRONG: u8 = 2;
/// and if they are strong on the device, not with those of other blocks either.
const WIDE: u8 = 4;
/// Reads and writes in one.
const ATOMIC: u8 = 8;
/// A strong write whose value a later one replaced without having seen it: nobody will.
const LOST: u8 = 16;

impl Kind {
    pub fn of(verb: Verb, strength: Strength, scope: Scope) -> Self {
        let strong = verb == Verb::Update || strength != Strength::Weak;
        let bits = [
            (verb.writes(), WRITE),
            (strong, STRONG),
            (strong && scope == Scope::Device, WIDE),
            (verb == Verb::Update, ATOMIC),
        ];
        Kind(bits.into_iter().filter(|(set, _)| *set).fold(0, |kind, (_, bit)| kind | bit))
    }

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    pub fn is_strong(self) -> bool {
        self.has(STRONG)
    }

    pub fn is_weak_write(self) -> bool {
        self.has(WRITE) && !self.has(STRONG)
    }

    fn is_strong_write(self) -> bool {
        self.has(WRITE) && self.has(STRONG)
    }

    fn conflicts(self, other: Kind, one_block: bool) -> bool {
        let both = self.0 & other.0;
        let strong = both & STRONG != 0 && (one_block || both & WIDE != 0);
        (self.0 | other.0) & WRITE != 0 && !strong
    }

    /// Does whatever conflicts with `old` conflict with this too?
    fn replaces(self, old: Kind) -> bool {
        let as_weak = !self.has(STRONG) || (old.has(STRONG) && (!self.has(WIDE) || old.has(WIDE)));
        (self.has(WRITE) || !old.has(WRITE)) && as_weak
    }

    fn word(self) -> &'static str {
        match (self.has(ATOMIC), self.has(WRITE)) {
            (true, _) => "atomic operation",
            (false, true) => "write",
            (false, false) => "read",
        }
    }
}

/// Lanes of a warp that did the same, each in its epoch of this number. Epoch 0 is nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Party {
    pub block: u32,
    pub epoch: u32,
    pub lanes: u32,
    pub line: u32,
    pub warp: u16,
    pub kind: Kind,
}

impl Party {
    /// The same for all accesses of a warp.
    pub fn hash(&self) -> usize {
        (self.block as usize).wrapping_mul(31).wrapping_add(self.warp as usize)
    }
}

/// An access on its way into the record.
pub(super) struct Visit<'a> {
    pub party: Party,
    clock: &'a Clock,
    /// Parties of one cell kept beyond two.
    pub most: usize,
}

impl<'a> Visit<'a> {
    /// The visit of all lanes of an access that stand in an epoch and know a clock.
    pub fn new(verb: Verb, access: &Access, (epoch, clock): (u32, &'a Clock), most: usize) -> Self {
        let kind = Kind::of(verb, access.strength, access.scope);
        let warp = (access.first_thread as usize / LANES) as u16;
        let (block, lanes, line) = (access.block, access.mask, access.line);
        Self { party: Party { block, epoch, lanes, line, warp, kind }, clock, most }
    }

    /// Did all that `old` did come before this access?
    #[inline]
    fn comes_after(&self, old: &Party) -> bool {
        let party = &self.party;
        let mut others = old.lanes;
        if (old.block, old.warp) == (party.block, party.warp) && party.lanes.is_power_of_two() {
            others &= !party.lanes;
        }
        others == 0 || self.clock.covers(old.block, old.warp as usize, others, old.epoch)
    }

    /// Did the same lanes do the same before, in the same epoch? Nobody came between: what conflicts
    /// with it would have raced, for a thread hands on what it did only by ending its epoch.
    #[inline]
    pub fn repeats(&self, old: &Party) -> bool {
        let new = &self.party;
        new.lanes & !old.lanes == 0 && self.is_alike(old)
    }

    #[inline]
    fn is_alike(&self, old: &Party) -> bool {
        let new = &self.party;
        (old.block, old.warp, old.epoch, old.kind) == (new.block, new.warp, new.epoch, new.kind)
    }

    pub fn writes(&self) -> bool {
        self.party.kind.has(WRITE)
    }

    #[inline]
    pub fn races(&self, old: &Party) -> bool {
        old.epoch != 0
            && self.party.kind.conflicts(old.kind, old.block == self.party.block)
            && !self.comes_after(old)
    }

    /// Makes `old` stand for this access too, if nothing that could race is lost by it.
    #[inline(always)]
    pub fn merges(&self, old: &mut Party) -> bool {
        let foreign = old.block != self.party.block && !self.clock.knows_others();
        !foreign && self.merges_known(old)
    }

    fn merges_known(&self, old: &mut Party) -> bool {
        let new = &self.party;
        if (old.block, old.warp, old.epoch, old.kind) == (new.block, new.warp, new.epoch, new.kind)
        {
            old.lanes |= new.lanes;
            old.line = new.line;
            return true;
        }
        let replaced = old.epoch != 0 && new.kind.replaces(old.kind) && self.comes_after(old);
        if replaced {
            *old = *new;
        }
        replaced
    }

    /// A strong store: it replaces what it has not read.
    pub fn is_strong_store(&self) -> bool {
        self.party.kind.is_strong_write() && !self.party.kind.has(ATOMIC)
    }

    /// May somebody still see what `old` wrote, and learn by it that it was before?
    pub fn could_see(&self, old: &Party) -> bool {
        old.epoch != 0 && old.kind.is_strong_write() && !old.kind.has(LOST)
    }

    /// A strong read sees what `old` wrote, and would not come after it without.
    pub fn learns(&self, old: &Party) -> bool {
        self.could_see(old) && !self.comes_after(old)
    }

    /// The access puts its value over what `old` wrote; if it comes after that, it stands for it.
    pub fn covers_up(&self, old: &mut Party) {
        if self.learns(old) {
            old.kind.0 |= LOST;
        }
    }

    /// Does each lane come after what one of the parties' lanes did?
    pub fn follows_one_of(&self, parties: &[Party]) -> bool {
        lanes(self.party.lanes).all(|me| {
            let one = Party { lanes: 1 << me, ..self.party };
            let alone = Visit { party: one, clock: self.clock, most: self.most };
            parties.iter().any(|old| {
                lanes(old.lanes).any(|lane| alone.comes_after(&Party { lanes: 1 << lane, ..*old }))
            })
        })
    }

    /// The report of a race of `want` with an earlier party: the first pair of threads without order.
    pub fn report(&self, want: &Want, old: &Party) -> Box<Violation> {
        let pair = lanes(self.party.lanes).find_map(|me| {
            let one = Party { lanes: 1 << me, ..self.party };
            let me_alone = Visit { party: one, ..*self };
            lanes(old.lanes)
                .find(|&lane| !me_alone.comes_after(&Party { lanes: 1 << lane, ..*old }))
                .map(|lane| (me, lane))
        });
        let (me, lane) = pair.unwrap_or((want.lane, 0));
        let line = match old.line {
            0 => String::new(),
            line => format!(" at PTX line {line}"),
        };
        let why = format!(
            "{} by block {} thread {} after {} by block {} thread {}{line}, and nothing orders the \
             two (linear indices)",
            self.party.kind.word(),
            self.party.block,
            self.party.warp as usize * LANES + me,
            old.kind.word(),
            old.block,
            old.warp as usize * LANES + lane,
        );
        Want { lane: me, ..*want }.refused(Rule::Race, why)
    }
}
