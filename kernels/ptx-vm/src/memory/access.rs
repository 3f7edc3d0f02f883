//! Who accesses, and how strongly: what a warp says of itself with every load and store.

use super::LANES;
use super::counts::Counts;
use super::element::Element;
use super::order::Order;

/// How an access takes part in the order of threads (`.weak`, `.relaxed`, ...). `.volatile` is
/// `Relaxed`; atomic operations are at least that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strength {
    #[default]
    Weak,
    Relaxed,
    Acquire,
    Release,
    AcquireRelease,
}

impl Strength {
    pub(super) fn acquires(self) -> bool {
        matches!(self, Strength::Acquire | Strength::AcquireRelease)
    }

    /// Atomic operations without a word are relaxed.
    pub(super) fn at_least_relaxed(self) -> Self {
        if self == Strength::Weak { Strength::Relaxed } else { self }
    }

    pub(super) fn releases(self) -> bool {
        matches!(self, Strength::Release | Strength::AcquireRelease)
    }
}

/// Among whom a strong access or a fence is one: `.cta`, or all of `.cluster`, `.gpu` and `.sys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    Block,
    #[default]
    Device,
}

/// Which rules are watched beyond bounds, alignment and freed memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checks {
    /// Reads of bytes nobody wrote.
    pub unwritten: bool,
    /// Two threads at one word without an order; accesses must then carry their [`Order`].
    pub races: bool,
}

impl Default for Checks {
    fn default() -> Self {
        Self { unwritten: true, races: false }
    }
}

/// One warp's access: who, and what is wanted of it.
#[derive(Debug)]
pub struct Access<'a> {
    /// Active lanes, never 0.
    pub mask: u32,
    /// Linear index in the block of the thread in lane 0.
    pub first_thread: u32,
    /// Linear index of the block in the grid.
    pub block: u32,
    /// Line of the PTX text, for the report of a race.
    pub line: u32,
    pub strength: Strength,
    pub scope: Scope,
    /// The lanes do not get to see what they read (`red`).
    pub blind: bool,
    /// Lanes that store what a lower one stores at the same place: no race, whichever comes last.
    pub repeating: u32,
    /// The order of the block's threads, where races are watched.
    pub order: Option<&'a mut Order>,
    /// Where the cost of the access is added.
    pub counts: Option<&'a mut Counts>,
}

impl Access<'_> {
    /// A weak access, neither watched for races nor counted.
    #[inline(always)]
    pub fn new(mask: u32, first_thread: u32, block: u32) -> Self {
        Self {
            mask,
            first_thread,
            block,
            line: 0,
            strength: Strength::Weak,
            scope: Scope::Device,
            blind: false,
            repeating: 0,
            order: None,
            counts: None,
        }
    }

    /// Finds the lanes that repeat what a lower one does in this store, if races are watched.
    #[inline]
    pub(super) fn find_repeating<T: Element, const N: usize>(
        &mut self,
        addresses: &[u64; LANES],
        values: &[[T; LANES]; N],
    ) {
        self.repeating = 0;
        let watched = self.order.is_some() && self.strength == Strength::Weak;
        if watched && may_meet(self.mask, addresses, (T::BYTES * N) as u64) {
            let same = |a: usize, b: usize| {
                addresses[a] == addresses[b] && values.iter().all(|each| each[a] == each[b])
            };
            let repeats =
                |&lane: &usize| lanes(self.mask & ((1 << lane) - 1)).any(|l| same(l, lane));
            self.repeating = lanes(self.mask).filter(repeats).fold(0, |all, lane| all | 1 << lane);
        }
    }

    /// Does anybody watch?
    #[inline(always)]
    pub(super) fn is_watched(&self) -> bool {
        self.order.is_some() || self.counts.is_some()
    }
}

/// Whether two lanes may have the same address: certainly not if the lowest bits tell all apart.
fn may_meet(mask: u32, addresses: &[u64; LANES], width: u64) -> bool {
    let shift = width.trailing_zeros();
    let places = lanes(mask).fold(0u64, |all, lane| all | 1 << (addresses[lane] >> shift & 63));
    places.count_ones() < mask.count_ones()
}

/// The lanes of a mask, lowest first.
#[inline]
pub(super) fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (mask != 0).then(|| {
            let lane = mask.trailing_zeros() as usize;
            mask &= mask - 1;
            lane
        })
    })
}
