//! Boxes of tensors: which bytes of global memory they are, and how they lie in shared memory.

use crate::error::Checked;
use crate::tensor_map::{ElementType, Interleave, MOST_DIMENSIONS, Outside, Swizzle, TensorMap};

/// What keeps the machine from moving the boxes of a map.
pub fn refusal(map: &TensorMap, rank: usize) -> Option<String> {
    let row = u64::from(map.box_dimensions[0]) * map.element.bytes();
    if map.rank != rank {
        return Some(format!("a copy in {rank} dimensions with a map of {}", map.rank));
    }
    if map.interleave != Interleave::None {
        return Some("interleaved tensors are not supported".to_owned());
    }
    if matches!(map.element, ElementType::Tf32 | ElementType::Tf32Ftz) {
        return Some("tensors rounded to tf32 on the way are not supported".to_owned());
    }
    match map.swizzle.span() {
        Some(span) if row != span => Some(format!(
            "boxes with rows of {row} bytes and a swizzle of {span} are not supported: rows as long as the swizzle are"
        )),
        _ => None,
    }
}

/// Where the 16 bytes at an address in shared memory go to.
pub fn swizzled(swizzle: Swizzle, address: u64) -> u64 {
    let bits = match swizzle {
        Swizzle::None => 0,
        Swizzle::Bytes32 => 1,
        Swizzle::Bytes64 => 3,
        Swizzle::Bytes128 => 7,
    };
    address ^ (address >> 7 & bits) << 4
}

/// Calls `row` for each row of the box: its offset in the box, and of its part inside the tensor the bytes skipped,
/// the address and the length (0 where the row lies outside).
pub fn rows(
    map: &TensorMap,
    at: &[i32; MOST_DIMENSIONS],
    mut row: impl FnMut(u64, u64, u64, u64) -> Checked<()>,
) -> Checked<()> {
    let bytes = map.element.bytes();
    let length = u64::from(map.box_dimensions[0]);
    let first = i64::from(at[0]).max(0);
    let end = (i64::from(at[0]) + length as i64).min(map.dimensions[0] as i64);
    let inside = (end - first).max(0) as u64 * bytes;
    let skipped = if inside > 0 { (first - i64::from(at[0])) as u64 * bytes } else { 0 };
    let mut index = [0u32; MOST_DIMENSIONS];
    let mut offset = 0;
    loop {
        let mut address = map.address.wrapping_add((first as u64).wrapping_mul(bytes));
        let mut present = inside > 0;
        for d in 1..map.rank {
            let place = i64::from(at[d]) + i64::from(index[d]) * i64::from(map.element_strides[d]);
            present &= (0..map.dimensions[d] as i64).contains(&place);
            address = address.wrapping_add((place as u64).wrapping_mul(map.strides[d]));
        }
        match present {
            true => row(offset, skipped, address, inside)?,
            false => row(offset, 0, map.address, 0)?,
        }
        offset += length * bytes;
        let Some(d) = (1..map.rank).find(|&d| index[d] + 1 < map.moved(d)) else { return Ok(()) };
        index[d] += 1;
        index[1..d].fill(0);
    }
}

/// The bytes of a box as they lie in shared memory from `to` on; `read` brings those of a row.
pub fn gather(
    map: &TensorMap,
    at: &[i32; MOST_DIMENSIONS],
    to: u64,
    mut read: impl FnMut(u64, &mut [u8]) -> Checked<()>,
) -> Checked<Vec<u8>> {
    let outside = if map.outside == Outside::Zero { 0 } else { 0xff };
    let mut bytes = vec![outside; map.box_bytes() as usize];
    rows(map, at, |offset, skipped, address, inside| {
        let part = &mut bytes[(offset + skipped) as usize..][..inside as usize];
        read(address, part)
    })?;
    if map.element == ElementType::F32Ftz {
        flush(&mut bytes);
    }
    Ok(exchange(map.swizzle, to, &bytes))
}

/// Brings a box that lies in shared memory from `from` on row by row to `write`, as far as it lies inside.
pub fn scatter(
    map: &TensorMap,
    at: &[i32; MOST_DIMENSIONS],
    from: u64,
    bytes: &[u8],
    mut write: impl FnMut(u64, &[u8]) -> Checked<()>,
) -> Checked<()> {
    let mut bytes = exchange(map.swizzle, from, bytes);
    if map.element == ElementType::F32Ftz {
        flush(&mut bytes);
    }
    rows(map, at, |offset, skipped, address, inside| match inside {
        0 => Ok(()),
        _ => write(address, &bytes[(offset + skipped) as usize..][..inside as usize]),
    })
}

/// Exchanges pieces of 16 bytes; to do it twice is to do nothing. Rows are as long as the swizzle, so pieces stay inside.
fn exchange(swizzle: Swizzle, base: u64, bytes: &[u8]) -> Vec<u8> {
    if swizzle == Swizzle::None {
        return bytes.to_vec();
    }
    let mut exchanged = vec![0; bytes.len()];
    for (index, piece) in bytes.chunks(16).enumerate() {
        let to = swizzled(swizzle, base + 16 * index as u64) - base;
        exchanged[to as usize..][..piece.len()].copy_from_slice(piece);
    }
    exchanged
}

/// Subnormal singles become zeros of their sign.
fn flush(bytes: &mut [u8]) {
    for word in bytes.chunks_exact_mut(4) {
        if word[2] & 0x80 == 0 && word[3] & 0x7f == 0 {
            word[..3].fill(0);
            word[3] &= 0x80;
        }
    }
}
