//! Why an access is refused, in words: called once it is known that something is wrong.

use super::LANES;
use super::access::lanes;
use super::region::Region;
use super::window;
use crate::error::{Rule, Violation};
use crate::syntax::Space;

/// What an access wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Load,
    Store,
    Update,
}

impl Verb {
    pub fn word(self) -> &'static str {
        match self {
            Verb::Load => "load",
            Verb::Store => "store",
            Verb::Update => "atomic operation",
        }
    }

    pub fn writes(self) -> bool {
        self != Verb::Load
    }
}

/// One lane's part of an access.
#[derive(Clone, Copy)]
pub(super) struct Want {
    pub verb: Verb,
    pub lane: usize,
    pub address: u64,
    /// Bytes, a power of two.
    pub width: u64,
}

impl Want {
    pub fn refused(&self, rule: Rule, why: impl std::fmt::Display) -> Box<Violation> {
        let (width, verb) = (self.width, self.verb.word());
        Box::new(Violation::at(
            rule,
            self.lane as u32,
            self.address,
            format!("{width}-byte {verb} at 0x{:x}: {why}", self.address),
        ))
    }

    /// The address is no multiple of the width.
    pub fn misaligned(&self) -> Option<Box<Violation>> {
        let past = self.address % self.width;
        (past != 0).then(|| {
            self.refused(
                Rule::Misaligned,
                format!("{past} bytes past a multiple of {}", self.width),
            )
        })
    }

    /// The bytes do not lie in `region`, which `name` describes.
    pub fn outside(&self, region: &Region, name: &str) -> Option<Box<Violation>> {
        let offset = self.address.wrapping_sub(region.base);
        if super::reach::reaches(offset, self.width, region.size()) {
            return None;
        }
        let size = region.size();
        let end = region.base.saturating_add(size);
        let why = match (self.address.checked_sub(end), region.base.checked_sub(self.address)) {
            (Some(past), _) => format!("{past} bytes past the end of the {size} bytes of {name}"),
            (None, Some(before)) if before > 0 => {
                format!("{before} bytes before the {size} bytes of {name}")
            }
            _ => format!("runs over the end of the {size} bytes of {name}"),
        };
        Some(self.refused(Rule::OutOfBounds, why))
    }

    /// Some of the bytes, which lie in `region`, were never written.
    pub fn unwritten(&self, region: &Region) -> Option<Box<Violation>> {
        let missing =
            region.storage.written.first_missing(self.address - region.base, self.width)?;
        let byte = region.base + missing - self.address;
        Some(self.refused(Rule::Unwritten, format!("nobody wrote byte {byte} of it")))
    }

    /// What is wrong with this access of the one region a space has; `None` if nothing is.
    pub fn refusal(&self, region: &Region, name: &str, written: bool) -> Option<Box<Violation>> {
        self.misaligned().or_else(|| self.outside(region, name)).or_else(|| {
            (written && self.verb != Verb::Store).then(|| self.unwritten(region)).flatten()
        })
    }

    /// A global address in no allocation; `freed` is base and size of the freed one it lies in, and
    /// `below` and `above` the nearest live ones.
    pub fn nowhere(
        &self,
        freed: Option<(u64, u64)>,
        below: Option<&Region>,
        above: Option<&Region>,
    ) -> Box<Violation> {
        if let Some((base, size)) = freed {
            let why = format!("inside the {size} bytes at 0x{base:x}, which were freed");
            return self.refused(Rule::Freed, why);
        }
        let (space, inner) = window::split(self.address);
        let why = match (space, below, above) {
            _ if self.address < 4096 => "a null pointer".to_string(),
            (Space::Shared, ..) => format!("offset {inner} of shared memory, not a global address"),
            (Space::Local, ..) => format!("offset {inner} of local memory, not a global address"),
            (Space::Parameter, ..) => {
                format!("offset {inner} of the parameters, not a global address")
            }
            (_, None, None) => "no global memory is allocated".to_string(),
            (_, below, above) => near(self.address, below, above),
        };
        self.refused(Rule::OutOfBounds, why)
    }
}

/// The nearer of the two neighbours, in words.
fn near(address: u64, below: Option<&Region>, above: Option<&Region>) -> String {
    let past = below.map(|r| (address.saturating_sub(r.base + r.size()), r));
    let before = above.map(|r| (r.base.saturating_sub(address), r));
    match (past, before) {
        (Some((past, r)), None) => after(past, r),
        (Some((past, r)), Some((before, _))) if past <= before => after(past, r),
        (_, Some((before, r))) => {
            format!("{before} bytes before the {} bytes allocated at 0x{:x}", r.size(), r.base)
        }
        (None, None) => "in no allocation".to_string(),
    }
}

fn after(past: u64, r: &Region) -> String {
    format!("{past} bytes past the end of the {} bytes allocated at 0x{:x}", r.size(), r.base)
}

/// The first refusal among the lanes, in their order. There is one, or this is not called.
pub(super) fn first(
    verb: Verb,
    mask: u32,
    addresses: &[u64; LANES],
    width: u64,
    refusal: impl Fn(&Want) -> Option<Box<Violation>>,
) -> Box<Violation> {
    let mut wants = lanes(mask).map(|lane| Want { verb, lane, address: addresses[lane], width });
    wants.find_map(|want| refusal(&want)).unwrap_or_else(|| {
        Box::new(Violation::new(Rule::OutOfBounds, format!("{} by no lane at all", verb.word())))
    })
}
