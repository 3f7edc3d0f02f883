//! Numbers as a device keeps them, and as the program does.

use half::bf16;

use crate::cuda::precision::Precision;
use crate::exec::session::{Values, ValuesMut};
use crate::op::contract::Kind;
use crate::op::device::stored;

/// How one element lies in a device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    F32,
    Bf16,
    I32,
}

impl Format {
    /// Of a tensor that is no parameter.
    pub(super) fn of(kind: Kind, precision: Precision) -> Self {
        match (kind, stored(kind, precision)) {
            (Kind::Index, _) => Format::I32,
            (_, Precision::Bf16) => Format::Bf16,
            (_, Precision::F32) => Format::F32,
        }
    }

    pub(super) fn bytes(self) -> usize {
        match self {
            Format::F32 | Format::I32 => 4,
            Format::Bf16 => 2,
        }
    }
}

/// Writes `values`, of which there are as many as `bytes` has room for.
pub(super) fn encode(values: Values, format: Format, bytes: &mut [u8]) {
    match values {
        Values::F32(values) => put(values.iter().copied(), format, bytes),
        Values::F64(values) => put(values.iter().map(|&x| x as f32), format, bytes),
        Values::Index(values) => bytes.copy_from_slice(bytemuck::cast_slice(values)),
    }
}

fn put(numbers: impl Iterator<Item = f32>, format: Format, bytes: &mut [u8]) {
    let rooms = bytes.chunks_exact_mut(format.bytes());
    match format {
        Format::Bf16 => rooms.zip(numbers).for_each(|(room, x)| {
            room.copy_from_slice(&bf16::from_f32(x).to_le_bytes());
        }),
        Format::F32 | Format::I32 => {
            rooms.zip(numbers).for_each(|(room, x)| room.copy_from_slice(&x.to_le_bytes()));
        }
    }
}

/// The numbers in `bytes`.
pub(super) fn decode(bytes: &[u8], format: Format) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(format.bytes()).map(move |bytes| match format {
        Format::Bf16 => bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        Format::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        Format::I32 => i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as f32,
    })
}

/// How many numbers there are.
pub(super) fn count(values: &Values) -> usize {
    match values {
        Values::F32(values) => values.len(),
        Values::F64(values) => values.len(),
        Values::Index(values) => values.len(),
    }
}

/// Hands the numbers in `bytes` out; `false` if there is not room for exactly all of them.
pub(super) fn hand_out(bytes: &[u8], format: Format, room: ValuesMut) -> bool {
    let numbers = decode(bytes, format);
    let count = bytes.len() / format.bytes();
    match room {
        ValuesMut::F32(room) if room.len() == count => {
            room.iter_mut().zip(numbers).for_each(|(room, x)| *room = x);
        }
        ValuesMut::F64(room) if room.len() == count => {
            room.iter_mut().zip(numbers).for_each(|(room, x)| *room = f64::from(x));
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_as_they_were_rounded() {
        let values = [1.0f32, -2.5, 1e-3, f32::INFINITY];
        for (format, rounds) in [(Format::F32, false), (Format::Bf16, true)] {
            let mut bytes = vec![0; 4 * format.bytes()];
            encode(Values::F32(&values), format, &mut bytes);
            let mut back = [0f64; 4];
            assert!(hand_out(&bytes, format, ValuesMut::F64(&mut back)));
            for (back, x) in back.iter().zip(values) {
                let want = if rounds { bf16::from_f32(x).to_f32() } else { x };
                assert_eq!(*back, f64::from(want));
            }
            assert!(!hand_out(&bytes, format, ValuesMut::F32(&mut [0.0; 3])));
        }
        let mut bytes = [0; 8];
        encode(Values::Index(&[7, -1]), Format::I32, &mut bytes);
        assert_eq!(decode(&bytes, Format::I32).collect::<Vec<_>>(), [7.0, -1.0]);
    }
}
