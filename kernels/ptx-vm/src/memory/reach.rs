//! Where the lanes of a warp point, as a whole: side by side, all at one place, or anywhere.

use super::LANES;

/// Where the active lanes lie in one region, all of them checked for bounds and alignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// All 32 lanes, each where the one before it ends.
    Run { offset: u64 },
    /// All active lanes at one place.
    Uniform { offset: u64 },
    /// Anywhere: lane `i` at its address less `base`, plus `i` times `stride`.
    Scattered { base: u64, stride: u64 },
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
        let (start, step) = (addresses[0], addresses[1].wrapping_sub(addresses[0]));
        if mask == !0 && step == width && in_steps(addresses, width) {
            let offset = start.wrapping_sub(base);
            let fits = reaches(offset, width * LANES as u64, size) && start & (width - 1) == 0;
            return fits.then_some(Reach::Run { offset });
        }
        Reach::of_others(mask, addresses, width, base, size)
    }

    /// The lanes are not all side by side. Not inlined: it is long, and there is one for each place and
    /// width otherwise.
    #[inline(never)]
    fn of_others(
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
        base: u64,
        size: u64,
    ) -> Option<Self> {
        let start = addresses[mask.trailing_zeros() as usize % LANES];
        let offset = start.wrapping_sub(base);
        if same(mask, addresses, start) {
            let fits = reaches(offset, width, size) && start & (width - 1) == 0;
            return fits.then_some(Reach::Uniform { offset });
        }
        let inside = all_inside(mask, addresses, width, base, size);
        inside.then_some(Reach::Scattered { base, stride: 0 })
    }

    /// The same for lanes each with `size` bytes of its own, those of lane 0 from `start` on and those of
    /// the others `stride` apart, all at a multiple of `width`.
    #[inline(never)]
    pub fn of_own(
        mask: u32,
        addresses: &[u64; LANES],
        width: u64,
        size: u64,
        (start, stride): (u64, u64),
    ) -> Option<Self> {
        let inside = all_inside(mask, addresses, width, 0, size);
        inside.then_some(Reach::Scattered { base: start.wrapping_neg(), stride })
    }

    /// Offset of a lane that is active.
    #[inline(always)]
    pub fn offset(&self, addresses: &[u64; LANES], lane: usize, width: u64) -> u64 {
        match *self {
            Reach::Run { offset } => offset + lane as u64 * width,
            Reach::Uniform { offset } => offset,
            Reach::Scattered { base, stride } => {
                addresses[lane].wrapping_sub(base) + lane as u64 * stride
            }
        }
    }
}

/// Do `bytes` from `offset` on end inside `size`?
#[inline(always)]
pub(super) fn reaches(offset: u64, bytes: u64, size: u64) -> bool {
    offset <= size && bytes <= size - offset
}

/// Is each address `step` past the one before? Four sums side by side, hidden from the optimiser before
/// they are compared: it would make 32 branches of them, and so makes vectors.
#[inline(always)]
fn in_steps(addresses: &[u64; LANES], step: u64) -> bool {
    let mut wrong = [0u64; 4];
    let mut expected: [u64; 4] =
        std::array::from_fn(|i| addresses[0].wrapping_add(i as u64 * step));
    for four in addresses.as_chunks::<4>().0 {
        for i in 0..4 {
            wrong[i] |= four[i] ^ expected[i];
            expected[i] = expected[i].wrapping_add(4 * step);
        }
    }
    let wrong = std::hint::black_box(wrong);
    wrong[0] | wrong[1] | wrong[2] | wrong[3] == 0
}

/// Do all active lanes point to `start`?
#[inline(always)]
fn same(mask: u32, addresses: &[u64; LANES], start: u64) -> bool {
    if mask == !0 {
        return addresses[LANES - 1] == start && in_steps(addresses, 0);
    }
    super::access::lanes(mask).all(|lane| addresses[lane] == start)
}

/// Are all active lanes inside the `size` bytes from `base` on, at multiples of `width`?
#[inline(always)]
fn all_inside(mask: u32, addresses: &[u64; LANES], width: u64, base: u64, size: u64) -> bool {
    let Some(limit) = size.checked_sub(width) else { return false };
    if mask == !0 {
        return hold(addresses, width, base, limit);
    }
    let start = addresses[mask.trailing_zeros() as usize % LANES];
    let active = std::array::from_fn(|i| if mask >> i & 1 == 1 { addresses[i] } else { start });
    hold(&active, width, base, limit)
}

#[inline(always)]
fn hold(addresses: &[u64; LANES], width: u64, base: u64, limit: u64) -> bool {
    let (mut outside, mut crooked) = ([0u64; 4], [0u64; 4]);
    for four in addresses.as_chunks::<4>().0 {
        for i in 0..4 {
            let offset = four[i].wrapping_sub(base);
            // The highest bit is set if the offset has it, or lies past the limit: no size comes near
            // 2^63.
            outside[i] |= limit.wrapping_sub(offset) | offset;
            crooked[i] |= offset;
        }
    }
    let outside = outside[0] | outside[1] | outside[2] | outside[3];
    let crooked = crooked[0] | crooked[1] | crooked[2] | crooked[3];
    outside >> 63 == 0 && crooked & (width - 1) == 0
}
