//! Where the lanes of a warp point, as a whole: side by side, all at one place, or anywhere.

use super::LANES;

/// Offsets of the active lanes into one region, all of them checked for bounds and alignment.
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one access")]
pub(super) enum Reach {
    /// The active lanes are `first..first + count`, and each starts where the one before it ends.
    Run { offset: u64, first: usize, count: usize },
    /// All active lanes at one place.
    Uniform { offset: u64 },
    /// Anywhere; inactive lanes have the offset of the first active one.
    Scattered { offsets: [u64; LANES] },
}

impl Reach {
    /// Looks where `addresses` lie in the `size` bytes from `base` on. `None` if a lane of `mask` lies
    /// outside or is no multiple of `width`, a power of two to which `base` is aligned.
    #[inline(always)]
    pub fn of(
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
        base: u64,
        size: u64,
    ) -> Option<Self> {
        let first = mask.trailing_zeros() as usize % LANES;
        let start = addresses[first];
        let offset = start.wrapping_sub(base);
        let last = (31 - mask.leading_zeros() as usize % LANES).max(first);
        let count = last - first + 1;
        let together = count == mask.count_ones() as usize;
        let step = addresses[(first + 1).min(last)].wrapping_sub(start);
        if together && step == width && consecutive(&addresses[first..=last], width) {
            let fits = reaches(offset, width * count as u64, size) && start & (width - 1) == 0;
            return fits.then_some(Reach::Run { offset, first, count });
        }
        if step == 0 && same(mask, addresses, start) {
            let fits = reaches(offset, width, size) && start & (width - 1) == 0;
            return fits.then_some(Reach::Uniform { offset });
        }
        scattered(mask, addresses, width, base, size, start)
    }

    /// Offset of a lane that is active.
    #[inline(always)]
    pub fn offset(&self, lane: usize, width: u64) -> u64 {
        match self {
            Reach::Run { offset, first, .. } => offset + (lane - first) as u64 * width,
            Reach::Uniform { offset } => *offset,
            Reach::Scattered { offsets } => offsets[lane],
        }
    }
}

/// Do `bytes` from `offset` on end inside `size`?
#[inline(always)]
pub(super) fn reaches(offset: u64, bytes: u64, size: u64) -> bool {
    offset <= size && bytes <= size - offset
}

/// No early way out: the comparison of 32 addresses is a handful of vector instructions.
#[inline(always)]
fn consecutive(addresses: &[u64], width: u64) -> bool {
    let start = addresses[0];
    match <&[u64; LANES]>::try_from(addresses) {
        Ok(all) => (0..LANES).fold(0, |bad, i| bad | (all[i] ^ (start + i as u64 * width))) == 0,
        Err(_) => addresses.iter().zip(0..).all(|(&a, i)| a == start.wrapping_add(i * width)),
    }
}

#[inline(always)]
fn same(mask: u32, addresses: &[u64; LANES], start: u64) -> bool {
    if mask == !0 {
        return addresses.iter().fold(0, |bad, &a| bad | (a ^ start)) == 0;
    }
    addresses.iter().enumerate().all(|(i, &a)| mask >> i & 1 == 0 || a == start)
}

#[inline(always)]
fn scattered(
    mask: u32,
    addresses: &[u64; LANES],
    width: u64,
    base: u64,
    size: u64,
    start: u64,
) -> Option<Reach> {
    let limit = size.checked_sub(width)? as i64;
    let mut offsets = *addresses;
    if mask != !0 {
        for (i, offset) in offsets.iter_mut().enumerate() {
            *offset = if mask >> i & 1 == 1 { *offset } else { start };
        }
    }
    let (mut outside, mut crooked) = (0i64, 0);
    for offset in &mut offsets {
        *offset = offset.wrapping_sub(base);
        // Negative if the offset is, or if it lies past the limit: no size comes near 2^63.
        outside |= (limit.wrapping_sub(*offset as i64)) | *offset as i64;
        crooked |= *offset;
    }
    (outside >= 0 && crooked & (width - 1) == 0).then_some(Reach::Scattered { offsets })
}
