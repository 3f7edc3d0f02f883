//! `cvt.pack`: two integers made small and put side by side, above them what a third source has.

use crate::decode::{Encoded, Modifiers, Site};
use crate::error::{Checked, LoadResult};
use crate::program::{Family, Instruction};
use crate::registers::LANES;
use crate::syntax::Type;
use crate::turn::{Flow, Turn};

/// `detail`: bits of a small number, and whether it has a sign.
const SIGNED: u32 = 32;

/// `cvt.pack.sat.u16.s32 d, a, b` and `cvt.pack.sat.u8.s32.b32 d, a, b, c`.
pub(super) fn decode(site: &mut Site<'_, '_, '_>, mut modifiers: Modifiers<'_>) -> LoadResult<()> {
    if !modifiers.take("sat") {
        return Err(site.error("cvt.pack exists as .sat only"));
    }
    let detail = modifiers.take_one(|part| {
        Some(match part {
            "u16" => 16,
            "s16" => 16 | SIGNED,
            "u8" => 8,
            "s8" => 8 | SIGNED,
            "u4" => 4,
            "s4" => 4 | SIGNED,
            "u2" => 2,
            "s2" => 2 | SIGNED,
            _ => return None,
        })
    });
    let Some(detail) = detail else {
        return Err(site.error("cvt.pack makes numbers of 2, 4, 8 or 16 bits"));
    };
    let third = modifiers.take("b32");
    let from = modifiers.take_last_type()?;
    modifiers.finish()?;
    if from != Type::S32 || third == (detail & !SIGNED == 16) {
        return Err(site.error("cvt.pack packs .s32, and below 16 bits onto a .b32"));
    }
    let kinds = [Type::B32, Type::S32, Type::S32, Type::B32];
    let mut operands = site.typed(&kinds[..if third { 4 } else { 3 }])?;
    if !third {
        operands.push(site.constant(0, false));
    }
    site.emit(Encoded { detail, ..Encoded::new(packed, Family::Convert, &operands) })
}

fn packed(turn: &mut Turn<'_>, instruction: &Instruction, mask: u32) -> Checked<Flow> {
    let [d, a, b, c] = [0, 1, 2, 3].map(|i| instruction.operands[i]);
    let (a, b) = (turn.registers.get::<i32>(a), turn.registers.get::<i32>(b));
    let c = turn.registers.get::<u32>(c);
    let bits = instruction.detail & !SIGNED;
    let (least, most) = match instruction.detail & SIGNED {
        0 => (0, (1 << bits) - 1),
        _ => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
    };
    let small = |x: i32| u64::from(x.clamp(least, most) as u32) & ((1 << bits) - 1);
    let out: [u32; LANES] = std::array::from_fn(|lane| {
        let pair = small(a[lane]) << bits | small(b[lane]);
        (u64::from(c[lane]) << (2 * bits) | pair) as u32
    });
    turn.registers.set(d, mask, &out);
    Ok(Flow::Next)
}
