//! Sums of differences of the bytes or half words of two registers: `vabsdiff2 vabsdiff4`. (nvcc writes the other
//! instructions of this kind in ordinary ones.)

use crate::decode::{Encoded, Site};
use crate::error::LoadResult;
use crate::program::{Family, flag};
use crate::shapes::{Ternary, rare_ternary};
use crate::syntax::Type;

/// Differences of `PARTS` signed or unsigned parts, each in its place, held in a signed part or not, or added to `c`.
struct Differences<const PARTS: u32, const KIND: u32>;

/// Parts of the sources are signed; those of the result are; they are held there; the differences are added up.
const SIGNED: u32 = 1;
const SIGNED_RESULT: u32 = 2;
const HOLD: u32 = 4;
const SUM: u32 = 8;

impl<const PARTS: u32, const KIND: u32> Ternary<u32, u32, u32, u32> for Differences<PARTS, KIND> {
    fn of(a: u32, b: u32, c: u32) -> u32 {
        let bits = 32 / PARTS;
        let part = |x: u32, i: u32| {
            let top = x << (32 - bits * (i + 1));
            if KIND & SIGNED != 0 {
                i64::from(top as i32 >> (32 - bits))
            } else {
                i64::from(top >> (32 - bits))
            }
        };
        let most =
            if KIND & SIGNED_RESULT != 0 { (1 << (bits - 1)) - 1 } else { (1i64 << bits) - 1 };
        let difference = |i: u32| {
            let exact = (part(a, i) - part(b, i)).abs();
            if KIND & HOLD != 0 { exact.min(most) } else { exact }
        };
        if KIND & SUM != 0 {
            return (0..PARTS).fold(c, |sum, i| sum.wrapping_add(difference(i) as u32));
        }
        let low = (1u64 << bits) - 1;
        (0..PARTS).fold(0, |whole, i| whole | ((difference(i) as u64 & low) as u32) << (bits * i))
    }
}

/// `vabsdiff4.d.a.b{.sat|.add} d, a, b, c`; `c` counts with `.add` only.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let mut modifiers = site.modifiers();
    let (hold, sum) = (modifiers.take("sat"), modifiers.take("add"));
    let b = modifiers.take_last_type()?;
    let a = modifiers.take_last_type()?;
    let d = modifiers.take_last_type()?;
    modifiers.finish()?;
    if [d, a, b].iter().any(|kind| !matches!(kind, Type::U32 | Type::S32))
        || a != b
        || (hold && sum)
    {
        return Err(site.error(
            "expected types .u32 or .s32, the same for both sources, and .sat or .add at most",
        ));
    }
    let operands = site.typed(&[Type::B32; 4])?;
    let kind = flag(a == Type::S32, SIGNED)
        | flag(d == Type::S32, SIGNED_RESULT)
        | flag(hold, HOLD)
        | flag(sum, SUM);
    macro_rules! pick {
        ($($kind:literal)*) => {
            match (kind, site.opcode() == "vabsdiff4") {
                $(($kind, true) => rare_ternary::<Differences<4, $kind>, u32, u32, u32, u32>(),
                ($kind, false) => rare_ternary::<Differences<2, $kind>, u32, u32, u32, u32>(),)*
                _ => return Err(site.error("this form is not known")),
            }
        };
    }
    let run = pick!(0 1 2 3 4 5 6 7 8 9 10 11);
    site.emit(Encoded::new(run, Family::Integer, &operands))
}
