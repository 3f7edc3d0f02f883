//! Run lengths of a mask in column-major order, background first, and their compressed text: the
//! format of the COCO mask API (maskApi.c).

use super::pixels::Mask;
use crate::error::{Error, ErrorKind, Result};

/// The most pixels of a picture that a mask is made for: 2^27, a mask of 128 MiB.
pub const PIXELS_MAX: usize = 1 << 27;

/// The lengths of background and foreground runs, in turn, of a `height` x `width` mask read
/// column by column. They add up to `height * width`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rle {
    height: usize,
    width: usize,
    counts: Vec<u32>,
}

/// Refuses a picture without pixels or with more than [`PIXELS_MAX`].
pub fn check_size(height: usize, width: usize) -> Result<()> {
    match height.checked_mul(width) {
        Some(1..=PIXELS_MAX) => Ok(()),
        _ => Err(wrong(format!(
            "a picture has 1 to {PIXELS_MAX} pixels; found height {height}, width {width}"
        ))),
    }
}

impl Rle {
    /// Run lengths as a list, checked to fill the picture exactly.
    pub fn from_counts(height: usize, width: usize, counts: Vec<u32>) -> Result<Self> {
        check_size(height, width)?;
        let sum: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        if sum != (height * width) as u64 {
            return Err(wrong(format!(
                "run lengths add up to height * width = {}; found {sum}",
                height * width
            )));
        }
        Ok(Self { height, width, counts })
    }

    /// Runs that are known to fill the picture.
    pub(super) fn trusted(height: usize, width: usize, counts: Vec<u32>) -> Self {
        Self { height, width, counts }
    }

    /// Reads compressed run lengths: base 32 with sign, 6 bits a character from `0` (48) to `o`
    /// (111), the low digits first; from the fourth run on, the difference to the run two before.
    pub fn from_text(height: usize, width: usize, text: &str) -> Result<Self> {
        let mut counts: Vec<u32> = Vec::new();
        let mut digits = text.bytes().enumerate();
        while let Some((start, first)) = digits.next() {
            let (mut value, mut shift, mut place, mut byte) = (0i64, 0, start, first);
            loop {
                if !(48..=111).contains(&byte) || shift > 30 {
                    return Err(wrong(format!(
                        "no run length at character {place} of {text:.60?}"
                    )));
                }
                let digit = i64::from(byte - 48);
                value |= (digit & 0x1f) << shift;
                shift += 5;
                if digit & 0x20 == 0 {
                    value |= if digit & 0x10 == 0 { 0 } else { -1 << shift };
                    break;
                }
                (place, byte) = digits.next().ok_or_else(|| {
                    wrong(format!("run lengths that are cut off: {text:.60?} ends in a number"))
                })?;
            }
            if let Some(before) = counts.len().checked_sub(2).filter(|_| counts.len() > 2) {
                value += i64::from(counts[before]);
            }
            counts.push(u32::try_from(value).map_err(|_| {
                wrong(format!("a run length is 0 or more; found {value} at character {start}"))
            })?);
        }
        Self::from_counts(height, width, counts)
    }

    /// The runs of a mask; `counts` then starts with the background, which may be 0 long.
    pub fn from_mask(mask: &Mask) -> Result<Self> {
        check_size(mask.height, mask.width)?;
        let (mut counts, mut length, mut last) = (Vec::new(), 0, 0);
        for x in 0..mask.width {
            for &pixel in mask.pixels.iter().skip(x).step_by(mask.width) {
                if pixel != last {
                    counts.push(length);
                    (length, last) = (0, pixel);
                }
                length += 1;
            }
        }
        counts.push(length);
        Self::from_counts(mask.height, mask.width, counts)
    }

    /// The compressed text of the runs.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.counts.len() * 2);
        for (i, &count) in self.counts.iter().enumerate() {
            let before = if i > 2 { self.counts[i - 2] } else { 0 };
            let mut value = i64::from(count) - i64::from(before);
            loop {
                let digit = (value & 0x1f) as u8;
                value >>= 5;
                let more = if digit & 0x10 == 0 { value != 0 } else { value != -1 };
                text.push(char::from(digit + if more { 0x20 } else { 0 } + 48));
                if !more {
                    break;
                }
            }
        }
        text
    }

    pub fn height(&self) -> usize {
        self.height
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The foreground runs as `(start, end)` places in column-major order; empty runs left out.
    pub fn foreground(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut place = 0;
        self.counts.iter().enumerate().filter_map(move |(i, &count)| {
            let start = place;
            place += count as usize;
            (i % 2 == 1 && count > 0).then_some((start, place))
        })
    }

    /// Foreground pixels.
    pub fn area(&self) -> usize {
        self.foreground().map(|(start, end)| end - start).sum()
    }

    /// `[x, y, width, height]` of the foreground in pixels; zeros where there is none.
    pub fn bounding_box(&self) -> [usize; 4] {
        let [mut left, mut top, mut right, mut bottom] = [self.width, self.height, 0, 0];
        for (start, end) in self.foreground() {
            let (x, last_x) = (start / self.height, (end - 1) / self.height);
            let across = x < last_x;
            left = left.min(x);
            right = right.max(last_x + 1);
            top = top.min(if across { 0 } else { start % self.height });
            bottom = bottom.max(if across { self.height } else { (end - 1) % self.height + 1 });
        }
        if right == 0 { [0; 4] } else { [left, top, right - left, bottom - top] }
    }
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Data, message)
}
