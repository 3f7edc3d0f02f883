//! Integers to integers without saturation: bits cut off, or extended by the source's sign.

use super::kind::Conversion;
use crate::program::Run;
use crate::registers::Lane;
use crate::shapes::{Host, Unary, unary};

struct Resize;

macro_rules! resize {
    ($($a:ty => $($d:ty),*;)*) => {$($(
        impl Unary<$a, $d> for Resize {
            #[inline(always)]
            fn of(a: $a) -> $d {
                a as $d
            }
        }
    )*)*};
}

resize! {
    u8 => u16, u32, u64;
    i8 => u16, u32, u64;
    u16 => u16, u32, u64;
    i16 => u16, u32, u64;
    u32 => u16, u32, u64;
    i32 => u16, u32, u64;
    u64 => u16, u32, u64;
}

fn to<D: Lane>(host: Host, conversion: &Conversion) -> Option<Run>
where
    Resize: Unary<u8, D>
        + Unary<i8, D>
        + Unary<u16, D>
        + Unary<i16, D>
        + Unary<u32, D>
        + Unary<i32, D>
        + Unary<u64, D>,
{
    Some(match (conversion.from.bits, conversion.from.signed()) {
        (8, false) => unary::<Resize, u8, D>(host),
        (8, true) => unary::<Resize, i8, D>(host),
        (16, false) => unary::<Resize, u16, D>(host),
        (16, true) => unary::<Resize, i16, D>(host),
        (32, false) => unary::<Resize, u32, D>(host),
        (32, true) => unary::<Resize, i32, D>(host),
        (64, _) => unary::<Resize, u64, D>(host),
        _ => return None,
    })
}

/// For a result as wide as its register.
pub(super) fn run(host: Host, conversion: &Conversion) -> Option<Run> {
    let Conversion { from, to: result, flags, .. } = conversion;
    if from.float().is_some() || result.float().is_some() || flags.sat {
        return None;
    }
    match result.bits {
        16 => to::<u16>(host, conversion),
        32 => to::<u32>(host, conversion),
        64 => to::<u64>(host, conversion),
        _ => None,
    }
}
