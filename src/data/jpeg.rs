//! The markers of a JPEG file: what its header promises and whether it is there to its end.
//!
//! The decoder fills what is missing from a truncated file with grey and says nothing, as a viewer
//! should and a training run should not. This walk costs one pass over the bytes.

const START_OF_SCAN: u8 = 0xDA;
const END_OF_IMAGE: u8 = 0xD9;
const ADOBE: u8 = 0xEE;

/// What the markers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Colour components: 1 grey, 3 YCbCr or RGB, 4 CMYK or YCCK.
    pub components: u8,
    /// Bits a sample.
    pub precision: u8,
    /// Whether Adobe's marker is there; its CMYK is stored inverted.
    pub adobe: bool,
}

/// Walks the markers from the first to the end of the image. The error says what is missing.
pub fn survey(bytes: &[u8]) -> Result<Survey, String> {
    let ends_early =
        || format!("the JPEG ends early, after {} bytes, without its end marker", bytes.len());
    let mut frame = None;
    let (mut adobe, mut scanned) = (false, false);
    let mut position = 2;
    loop {
        let (marker, after) = next_marker(bytes, position).ok_or_else(ends_early)?;
        position = after;
        match marker {
            END_OF_IMAGE => break,
            // Restart, start of image, temporary: markers without a segment.
            0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let segment = segment(bytes, after).ok_or_else(ends_early)?;
        position += segment.len();
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                frame = Some((segment.get(2), segment.get(7)));
            }
            START_OF_SCAN => scanned = true,
            ADOBE => adobe |= segment.get(2..7) == Some(b"Adobe"),
            _ => {}
        }
    }
    match frame {
        Some((Some(&precision), Some(&components))) if scanned => {
            Ok(Survey { components, precision, adobe })
        }
        _ => Err("the JPEG holds no picture between its markers".to_owned()),
    }
}

/// The next marker's code and the place after it. Bytes between segments are skipped; inside
/// entropy-coded data an 0xFF that means itself is followed by 0.
fn next_marker(bytes: &[u8], from: usize) -> Option<(u8, usize)> {
    let mut position = from;
    loop {
        position += bytes.get(position..)?.iter().position(|&b| b == 0xFF)? + 1;
        match *bytes.get(position)? {
            0xFF => {}
            0 => position += 1,
            code => return Some((code, position + 1)),
        }
    }
}

/// The segment at `from`, its two length bytes included.
fn segment(bytes: &[u8], from: usize) -> Option<&[u8]> {
    let length = u16::from_be_bytes([*bytes.get(from)?, *bytes.get(from + 1)?]);
    bytes.get(from..from + usize::from(length).max(2))
}
