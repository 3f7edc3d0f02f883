//! The arithmetic of single lanes by the type it is done in: `add.s32` and `add.f32` share a name and nothing else.

use super::{carry, division, float, half, integer, product, quotient};
use crate::decode::{Modifiers, Site};
use crate::error::LoadResult;
use crate::syntax::Type;

/// What the last type of an instruction says about who decodes it.
enum Kind {
    Integer,
    Float,
    Half,
}

fn kind(modifiers: &Modifiers<'_>) -> Kind {
    let last = modifiers.rest().iter().rev().find_map(|part| Type::parse(part));
    match last {
        Some(Type::F32 | Type::F64) => Kind::Float,
        Some(Type::F16 | Type::F16x2 | Type::Bf16 | Type::Bf16x2) => Kind::Half,
        _ => Kind::Integer,
    }
}

/// Gives an instruction whose name is shared by several families to the one of its type.
///
/// # Errors
/// That family refuses it.
pub fn decode(site: &mut Site<'_, '_, '_>) -> LoadResult<()> {
    let modifiers = site.modifiers();
    match (site.opcode(), kind(&modifiers)) {
        ("add" | "sub" | "mad", Kind::Integer) if modifiers.rest().contains(&"cc") => {
            carry::decode(site)
        }
        ("mul" | "mad", Kind::Integer) => product::decode(site),
        ("div", Kind::Integer) => division::decode(site),
        (_, Kind::Integer) => integer::decode(site),
        ("div", Kind::Float) => quotient::decode(site),
        (_, Kind::Float) => float::decode(site),
        (_, Kind::Half) => half::decode(site),
    }
}
