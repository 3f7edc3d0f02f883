//! What `cp.reduce.async.bulk` does with each element.

use crate::arithmetic::half::{from_bf16, from_f16, to_bf16, to_f16};
use crate::arithmetic::single::{canonical, larger, smaller};
use crate::asynchronous::Reduction;
use crate::error::Checked;
use crate::memory::{Access, Element, GlobalView};
use crate::registers::LANES;
use crate::tensor_map::ElementType;

/// Operation, type, bytes of an element, and the new bits from those in memory and those added.
type Entry = (&'static str, &'static str, usize, fn(u64, u64) -> u64);

const ALL: [Entry; 28] = [
    ("add", "u32", 4, |a, b| u64::from((a as u32).wrapping_add(b as u32))),
    ("add", "s32", 4, |a, b| u64::from((a as u32).wrapping_add(b as u32))),
    ("add", "u64", 8, u64::wrapping_add),
    ("add", "f32", 4, |a, b| u64::from((single(a) + single(b)).to_bits())),
    ("add", "f64", 8, |a, b| (f64::from_bits(a) + f64::from_bits(b)).to_bits()),
    ("add", "f16", 2, |a, b| u64::from(to_f16(from_f16(a as u16) + from_f16(b as u16)))),
    ("add", "bf16", 2, |a, b| u64::from(to_bf16(from_bf16(a as u16) + from_bf16(b as u16)))),
    ("min", "u32", 4, |a, b| a.min(b)),
    ("min", "s32", 4, |a, b| u64::from((a as i32).min(b as i32) as u32)),
    ("min", "u64", 8, |a, b| a.min(b)),
    ("min", "s64", 8, |a, b| (a as i64).min(b as i64) as u64),
    ("max", "u32", 4, |a, b| a.max(b)),
    ("max", "s32", 4, |a, b| u64::from((a as i32).max(b as i32) as u32)),
    ("max", "u64", 8, |a, b| a.max(b)),
    ("max", "s64", 8, |a, b| (a as i64).max(b as i64) as u64),
    ("inc", "u32", 4, |a, b| if a >= b { 0 } else { a + 1 }),
    ("dec", "u32", 4, |a, b| if a == 0 || a > b { b } else { a - 1 }),
    ("and", "b32", 4, |a, b| a & b),
    ("and", "b64", 8, |a, b| a & b),
    ("or", "b32", 4, |a, b| a | b),
    ("or", "b64", 8, |a, b| a | b),
    ("xor", "b32", 4, |a, b| a ^ b),
    ("xor", "b64", 8, |a, b| a ^ b),
    ("add", "s64", 8, u64::wrapping_add),
    ("min", "f16", 2, |a, b| half(a, b, from_f16, to_f16, smaller)),
    ("max", "f16", 2, |a, b| half(a, b, from_f16, to_f16, larger)),
    ("min", "bf16", 2, |a, b| half(a, b, from_bf16, to_bf16, smaller)),
    ("max", "bf16", 2, |a, b| half(a, b, from_bf16, to_bf16, larger)),
];

fn half(
    a: u64,
    b: u64,
    widen: fn(u16) -> f32,
    narrow: fn(f32) -> u16,
    of: fn(f32, f32) -> f32,
) -> u64 {
    u64::from(narrow(canonical(of(widen(a as u16), widen(b as u16)))))
}

fn single(bits: u64) -> f32 {
    f32::from_bits(bits as u32)
}

/// Number of an operation on a type.
pub fn find(operation: &str, kind: &str) -> Option<usize> {
    ALL.iter().position(|entry| entry.0 == operation && entry.1 == kind)
}

pub fn by_number(number: usize) -> Option<Reduction> {
    ALL.get(number).map(|entry| Reduction { bytes: entry.2, combine: entry.3 })
}

/// What can be done with a tensor's elements; their type is in the map.
const OF_TENSORS: [&str; 8] = ["add", "min", "max", "inc", "dec", "and", "or", "xor"];

/// Number of an operation on tensors.
pub fn of_tensor(operation: &str) -> Option<usize> {
    OF_TENSORS.iter().position(|known| *known == operation)
}

/// An operation on a tensor's elements.
///
/// # Errors
/// Their type does not have it.
pub fn on_tensor(number: usize, element: ElementType) -> Result<Reduction, String> {
    let operation = OF_TENSORS.get(number).copied().unwrap_or_default();
    let bits = matches!(operation, "and" | "or" | "xor");
    let kind = match element {
        ElementType::U32 | ElementType::S32 if bits => "b32",
        ElementType::U64 | ElementType::S64 if bits => "b64",
        ElementType::U32 => "u32",
        ElementType::S32 => "s32",
        ElementType::U64 => "u64",
        ElementType::S64 => "s64",
        ElementType::F16 => "f16",
        ElementType::Bf16 => "bf16",
        ElementType::F32 | ElementType::F32Ftz => "f32",
        ElementType::F64 => "f64",
        other => return Err(format!("a reduction of elements of type {other:?}")),
    };
    find(operation, kind)
        .and_then(by_number)
        .ok_or_else(|| format!("a reduction .{operation} of {kind}"))
}

impl Reduction {
    /// Combines the elements that lie in `bytes` with those from `at` on, each atomically.
    ///
    /// # Errors
    /// As for atomic operations in global memory.
    pub fn apply(
        self,
        global: &GlobalView,
        access: &mut Access<'_>,
        at: u64,
        bytes: &[u8],
    ) -> Checked<()> {
        for (index, element) in bytes.chunks_exact(self.bytes).enumerate() {
            let mut bits = [0; 8];
            bits[..self.bytes].copy_from_slice(element);
            let (bits, addresses) =
                (u64::from_le_bytes(bits), [at + (index * self.bytes) as u64; LANES]);
            match self.bytes {
                2 => self.one::<u16>(global, access, &addresses, bits)?,
                4 => self.one::<u32>(global, access, &addresses, bits)?,
                _ => self.one::<u64>(global, access, &addresses, bits)?,
            }
        }
        Ok(())
    }

    fn one<T: Element + Into<u64> + TryFrom<u64>>(
        self,
        global: &GlobalView,
        access: &mut Access<'_>,
        addresses: &[u64; LANES],
        bits: u64,
    ) -> Checked<()> {
        let combine = |_, old: T| T::try_from((self.combine)(old.into(), bits)).unwrap_or(old);
        global.atomic::<T>(access, addresses, combine).map(|_| ())
    }
}
