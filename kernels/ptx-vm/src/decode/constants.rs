//! Values known at load that lie in registers: immediates, addresses, special registers.

use std::collections::HashMap;

use crate::program::Special;
use crate::registers::Slot;
use crate::syntax::{Immediate, Type};

/// Slots already given to constants.
#[derive(Debug, Default)]
pub(super) struct Constants {
    pub rows: Vec<(Slot, u64, bool)>,
    pub predicates: Vec<(Slot, bool)>,
    pub specials: Vec<(Slot, Special)>,
    by_value: HashMap<(u64, bool), Slot>,
    by_special: HashMap<Special, Slot>,
}

impl Constants {
    /// The slot of `bits`; `fresh` makes one of a row, or two if wide.
    pub fn value(&mut self, bits: u64, wide: bool, fresh: impl FnOnce() -> Slot) -> Slot {
        let rows = &mut self.rows;
        *self.by_value.entry((bits, wide)).or_insert_with(|| {
            let slot = fresh();
            rows.push((slot, bits, wide));
            slot
        })
    }

    pub fn predicate(&mut self, holds: bool, fresh: impl FnOnce() -> Slot) -> Slot {
        if let Some(found) = self.predicates.iter().find(|(_, value)| *value == holds) {
            return found.0;
        }
        let slot = fresh();
        self.predicates.push((slot, holds));
        slot
    }

    pub fn special(&mut self, special: Special, fresh: impl FnOnce() -> Slot) -> Slot {
        let specials = &mut self.specials;
        *self.by_special.entry(special).or_insert_with(|| {
            let slot = fresh();
            specials.push((slot, special));
            slot
        })
    }
}

/// The bits an immediate has as a `kind`; `None` where the two do not go together.
pub fn constant_bits(immediate: Immediate, kind: Type) -> Option<u64> {
    let width = |bits: u64| match kind.bytes() {
        1 => bits & 0xff,
        2 => bits & 0xffff,
        4 => bits & 0xffff_ffff,
        _ => bits,
    };
    match (immediate, kind) {
        (_, Type::Pred | Type::B128) => None,
        (Immediate::F32(bits), Type::F64) => Some(f64::from(f32::from_bits(bits)).to_bits()),
        (Immediate::F64(bits), Type::F32 | Type::Tf32) => {
            Some(u64::from((f64::from_bits(bits) as f32).to_bits()))
        }
        (Immediate::F32(bits), _) if kind.bytes() == 4 => Some(u64::from(bits)),
        (Immediate::F64(bits), _) if kind.bytes() == 8 => Some(bits),
        (Immediate::Integer(value), Type::F32 | Type::F64) => match value {
            0 => Some(0),
            _ => None,
        },
        (Immediate::Integer(value), _) => Some(width(value)),
        (Immediate::F32(_) | Immediate::F64(_), _) => None,
    }
}
