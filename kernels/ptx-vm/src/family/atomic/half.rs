//! Atomics on half-precision numbers, one or two in a word: sums round to nearest and keep subnormals (`.noftz`).

use super::{Update, update};
use crate::arithmetic::half::{from_bf16, from_f16, to_bf16, to_f16};
use crate::program::Run;
use crate::shapes::Host;
use crate::syntax::Type;

/// `-0` is below `+0`; a NaN gives way to a number.
#[inline(always)]
fn lesser(a: f32, b: f32) -> f32 {
    let first = b.is_nan() || a < b || (a == b && a.is_sign_negative());
    if first && !a.is_nan() { a } else { b }
}

#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    -lesser(-a, -b)
}

macro_rules! halves {
    ($($name:ident $pair:ident: $from:ident $to:ident => |$old:ident, $b:ident| $body:expr;)*) => {$(
        struct $name;
        impl Update<u16> for $name {
            #[inline(always)]
            fn of(old: u16, b: u16, _: u16) -> u16 {
                // A sum of two halves as singles, rounded again, is the sum rounded once: a single has more than
                // twice the digits.
                let ($old, $b) = ($from(old), $from(b));
                $to($body)
            }
        }
        struct $pair;
        impl Update<u32> for $pair {
            #[inline(always)]
            fn of(old: u32, b: u32, _: u32) -> u32 {
                let low = $name::of(old as u16, b as u16, 0);
                let high = $name::of((old >> 16) as u16, (b >> 16) as u16, 0);
                u32::from(high) << 16 | u32::from(low)
            }
        }
    )*};
}

halves! {
    AddF16 AddF16x2: from_f16 to_f16 => |old, b| old + b;
    MinF16 MinF16x2: from_f16 to_f16 => |old, b| lesser(old, b);
    MaxF16 MaxF16x2: from_f16 to_f16 => |old, b| greater(old, b);
    AddBf16 AddBf16x2: from_bf16 to_bf16 => |old, b| old + b;
    MinBf16 MinBf16x2: from_bf16 to_bf16 => |old, b| lesser(old, b);
    MaxBf16 MaxBf16x2: from_bf16 to_bf16 => |old, b| greater(old, b);
}

/// `add`, and `min` and `max` which exist for vectors only.
pub(super) fn pick(host: Host, name: &str, kind: Type, vector: bool) -> Option<Run> {
    use Type::{Bf16, Bf16x2, F16, F16x2};
    Some(match (name, kind, vector) {
        ("add", F16, _) => update::<u16, AddF16>(host),
        ("add", F16x2, _) => update::<u32, AddF16x2>(host),
        ("add", Bf16, _) => update::<u16, AddBf16>(host),
        ("add", Bf16x2, _) => update::<u32, AddBf16x2>(host),
        ("min", F16, true) => update::<u16, MinF16>(host),
        ("min", F16x2, true) => update::<u32, MinF16x2>(host),
        ("min", Bf16, true) => update::<u16, MinBf16>(host),
        ("min", Bf16x2, true) => update::<u32, MinBf16x2>(host),
        ("max", F16, true) => update::<u16, MaxF16>(host),
        ("max", F16x2, true) => update::<u32, MaxF16x2>(host),
        ("max", Bf16, true) => update::<u16, MaxBf16>(host),
        ("max", Bf16x2, true) => update::<u32, MaxBf16x2>(host),
        _ => return None,
    })
}
