//! Tensor maps for bulk tensor copies.

use super::pointer::{In, Out};
use crate::driver::machine::{Machine, call, refuse};
use crate::driver::status::{Answer, Status};
use crate::tensor_map::{
    ALIGNMENT, BYTES, ElementType, MOST_DIMENSIONS, Outside, TensorMap, interleave, swizzle,
};

/// A tensor as the caller describes it: numbers of CUDA's.
struct Description {
    element: u32,
    rank: u32,
    address: u64,
    dimensions: In<u64>,
    strides: In<u64>,
    box_dimensions: In<u32>,
    element_strides: In<u32>,
    interleave: u32,
    swizzle: u32,
    promotion: u32,
    fill: u32,
}

/// The first `rank` values, then `rest`.
fn padded<T: Copy>(values: In<T>, rank: usize, rest: T) -> Answer<[T; MOST_DIMENSIONS]> {
    let mut all = [rest; MOST_DIMENSIONS];
    all[..rank].copy_from_slice(&values.many(rank)?);
    Ok(all)
}

impl Description {
    fn map(&self) -> Answer<TensorMap> {
        let unknown = |what: &str, code: u32| {
            refuse(Status::INVALID_VALUE, &format!("tensor map: {what} {code} is not known here"))
        };
        let rank = self.rank as usize;
        if !(1..=MOST_DIMENSIONS).contains(&rank) {
            return Err(unknown("rank", self.rank));
        }
        let element = ElementType::from_code(self.element)
            .ok_or_else(|| unknown("element type", self.element))?;
        let given = self.strides.many(rank - 1)?;
        let mut strides = [0; MOST_DIMENSIONS];
        strides[0] = element.bytes();
        strides[1..rank].copy_from_slice(&given);
        Ok(TensorMap {
            element,
            rank,
            address: self.address,
            dimensions: padded(self.dimensions, rank, 1)?,
            strides,
            box_dimensions: padded(self.box_dimensions, rank, 1)?,
            element_strides: padded(self.element_strides, rank, 1)?,
            interleave: interleave(self.interleave)
                .ok_or_else(|| unknown("interleave", self.interleave))?,
            swizzle: swizzle(self.swizzle).ok_or_else(|| unknown("swizzle", self.swizzle))?,
            cache_bytes: match self.promotion {
                0 => 0,
                1..=3 => 32 << self.promotion,
                other => return Err(unknown("cache promotion", other)),
            },
            outside: match self.fill {
                0 => Outside::Zero,
                1 => Outside::NotANumber,
                other => return Err(unknown("fill", other)),
            },
        })
    }
}

fn store(machine: &Machine, place: Out<[u8; BYTES]>, map: &TensorMap) -> Answer {
    if machine.target.major < 9 {
        let text = format!("tensor map: {} has no bulk tensor copies", machine.target.name);
        return Err(refuse(Status::NOT_SUPPORTED, &text));
    }
    if !(place.address() as u64).is_multiple_of(ALIGNMENT) {
        let text = format!("tensor map at 0x{:x}; a multiple of {ALIGNMENT}", place.address());
        return Err(refuse(Status::INVALID_VALUE, &text));
    }
    map.check()
        .map_err(|message| refuse(Status::INVALID_VALUE, &format!("tensor map: {message}")))?;
    place.set(map.encode())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuTensorMapEncodeTiled(
    place: Out<[u8; BYTES]>,
    element: u32,
    rank: u32,
    address: u64,
    dimensions: In<u64>,
    strides: In<u64>,
    box_dimensions: In<u32>,
    element_strides: In<u32>,
    interleave: u32,
    swizzle: u32,
    promotion: u32,
    fill: u32,
) -> Status {
    call(|machine| {
        let description = Description {
            element,
            rank,
            address,
            dimensions,
            strides,
            box_dimensions,
            element_strides,
            interleave,
            swizzle,
            promotion,
            fill,
        };
        store(machine, place, &description.map()?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuTensorMapReplaceAddress(place: Out<[u8; BYTES]>, address: u64) -> Status {
    call(|machine| {
        // SAFETY: null or a map of the caller's, which is also read.
        let bytes = unsafe { In::new(place.address() as *const [u8; BYTES]) }.get()?;
        let map =
            TensorMap::decode(&bytes).map_err(|message| refuse(Status::INVALID_VALUE, &message))?;
        store(machine, place, &TensorMap { address, ..map })
    })
}
