//! Half-precision numbers as bits: to single and back, without branches so that a loop over lanes becomes vector code.

/// The NaN of every half-precision result that is one, in both formats.
pub const NAN: u16 = 0x7fff;

/// Every f16 is a single.
#[inline(always)]
pub fn from_f16(bits: u16) -> f32 {
    const LEAST: u32 = 113 << 23;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let sign = u32::from(bits & 0x8000) << 16;
    let normal = magnitude.wrapping_add(112 << 23);
    // A subnormal is what lies above the smallest normal number of the same exponent: hosts are slow with their own.
    let subnormal =
        (f32::from_bits(magnitude.wrapping_add(LEAST)) - f32::from_bits(LEAST)).to_bits();
    let number = if magnitude < 1 << 23 { subnormal } else { normal };
    let special = magnitude | 0x7f80_0000;
    f32::from_bits(if magnitude >= 31 << 23 { special } else { number } | sign)
}

/// To the nearest, ties to even.
#[inline(always)]
pub fn to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let (magnitude, sign) = (bits & 0x7fff_ffff, (bits >> 16) & 0x8000);
    let normal =
        (magnitude.wrapping_sub(112 << 23)).wrapping_add(0xfff + ((magnitude >> 13) & 1)) >> 13;
    // 0.5 has the last place of an f16 subnormal: the addition rounds.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let small = magnitude < 113 << 23;
    let unsigned = if small { subnormal } else { normal };
    let unsigned = if magnitude >= 143 << 23 { 0x7c00 } else { unsigned };
    if magnitude > 0x7f80_0000 { NAN } else { (unsigned | sign) as u16 }
}

#[inline(always)]
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// To the nearest, ties to even.
#[inline(always)]
pub fn to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if bits & 0x7fff_ffff > 0x7f80_0000 { NAN } else { rounded as u16 }
}
