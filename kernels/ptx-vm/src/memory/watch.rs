//! Accesses on their way into the record: lane by lane, page by page.

use super::LANES;
use super::access::{Access, lanes};
use super::party::{Kind, Visit};
use super::refusal::{Verb, Want};
use super::shadow::{PAGE, Pages};
use crate::error::Checked;

/// Records the access of each lane, or reports the first race. Lanes that read, or update, one place and stand in the
/// same epoch are one party. Does nothing where the access carries no order.
pub(super) fn watch(
    verb: Verb,
    access: &Access,
    addresses: &[u64; LANES],
    width: u64,
    most: usize,
    mut pages: impl Pages,
) -> Checked<()> {
    let Some(order) = access.order.as_deref() else { return Ok(()) };
    let repeating = if verb == Verb::Store { access.repeating } else { 0 };
    let (first, mask) = (access.first_thread as usize, access.mask & !repeating);
    let lanes_at = LanesAt { verb, addresses, width };
    if let Some(stand) = order.stand_together(first, mask) {
        let mut visit = Visit::new(verb, access, stand, most);
        let place = addresses[mask.trailing_zeros() as usize % LANES];
        if !visit.party.kind.is_weak_write() && lanes(mask).all(|lane| addresses[lane] == place) {
            return lanes_at.record_as_one(&visit, &mut pages);
        }
        return lanes_at.record(&mut visit, mask, &mut pages);
    }
    for lane in lanes(mask) {
        let Some(stand) = order.stand(first + lane) else { continue };
        let mut visit = Visit::new(verb, access, stand, most);
        lanes_at.record(&mut visit, 1 << lane, &mut pages)?;
    }
    Ok(())
}

/// What the lanes of an access want, each at its address.
pub(super) struct LanesAt<'a> {
    verb: Verb,
    addresses: &'a [u64; LANES],
    pub width: u64,
}

impl LanesAt<'_> {
    #[inline(always)]
    pub fn want(&self, lane: usize) -> Want {
        Want { verb: self.verb, lane, address: self.addresses[lane], width: self.width }
    }

    /// All lanes of the visit together, at the place of the first.
    fn record_as_one(&self, visit: &Visit, pages: &mut impl Pages) -> Checked<()> {
        let want = self.want(visit.party.lanes.trailing_zeros() as usize % LANES);
        pages.at(want.address).map_or(Ok(()), |(page, offset)| page.visit(visit, &want, offset))
    }

    /// Each lane by itself; a page is looked up once for all lanes in a row that lie in it.
    fn record(&self, visit: &mut Visit, mask: u32, pages: &mut impl Pages) -> Checked<()> {
        let mut left = mask;
        while left != 0 {
            let address = self.addresses[left.trailing_zeros() as usize % LANES];
            let Some((page, offset)) = pages.at(address) else {
                left &= left - 1;
                continue;
            };
            let start = address - offset;
            let past = lanes(left).find(|&lane| self.addresses[lane].wrapping_sub(start) >= PAGE);
            let here = past.map_or(left, |lane| left & ((1 << lane) - 1));
            page.visit_lanes(visit, self, here, start)?;
            left &= !here;
        }
        Ok(())
    }
}

/// Notes the lanes of a strong read, once what they read is known. Of lanes that update one place only the last has
/// seen what all the others wrote.
pub(super) fn observe(
    verb: Verb,
    access: &Access,
    addresses: &[u64; LANES],
    width: u64,
    mut pages: impl Pages,
) {
    let Some(order) = access.order.as_deref() else { return };
    if access.blind || !Kind::of(verb, access.strength, access.scope).is_strong() {
        return;
    }
    let lanes_at = LanesAt { verb, addresses, width };
    for lane in lanes(access.mask) {
        let address = addresses[lane];
        let mut later = lanes(access.mask & (!1 << lane));
        if verb == Verb::Update && later.any(|other| addresses[other] == address) {
            continue;
        }
        let Some(stand) = order.stand(access.first_thread as usize + lane) else { continue };
        let mut visit = Visit::new(verb, access, stand, 0);
        visit.party.lanes = 1 << lane;
        if let Some((page, offset)) = pages.at(address) {
            page.observe(&visit, &lanes_at.want(lane), offset);
        }
    }
}

/// Records a copy of bytes in a row, by one lane, in aligned pieces.
pub(super) fn watch_bytes(
    access: &Access,
    want: &Want,
    most: usize,
    mut pages: impl Pages,
) -> Checked<()> {
    let Some(order) = access.order.as_deref() else { return Ok(()) };
    let Some(stand) = order.stand(access.first_thread as usize + want.lane) else { return Ok(()) };
    let mut visit = Visit::new(want.verb, access, stand, most);
    visit.party.lanes = 1 << want.lane;
    let (mut address, end) = (want.address, want.address + want.width);
    while address < end {
        let aligned = 1 << address.trailing_zeros().min(4);
        let width = aligned.min(1 << (end - address).ilog2());
        if let Some((page, offset)) = pages.at(address) {
            page.visit(&visit, &Want { address, width, ..*want }, offset)?;
        }
        address += width;
    }
    Ok(())
}
