//! What the logits on the grid say about a picture of any size: its mask and how sure that is.
//!
//! Paper section 3.5 as decided for the model: logits upsampled bilinearly with aligned corners; a
//! pixel is in the mask if the logit of class 1 is the larger one.

use crate::cpu::interpolation::{Axis, Neighbours};
use crate::data::mask::Mask;
use crate::error::{Error, Result};

/// A predicted mask.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    pub mask: Mask,
    /// Mean probability of class 1 over the pixels in the mask; 0 if there is none.
    pub score: f64,
}

/// Upsamples `grid`, the logits `[side, side, 2]` of one sample, straight to `height x width`
/// pixels. Upsampling is linear, so the difference of the two classes is upsampled, in f64, one row
/// at a time: beside the mask it holds nothing of the picture's size.
///
/// # Errors
/// A logit that is not finite.
pub fn predict(grid: &[f32], side: usize, height: usize, width: usize) -> Result<Prediction> {
    assert_eq!(grid.len(), side * side * 2, "two logits for every place of the grid");
    check(grid, side)?;
    let difference: Vec<f64> =
        grid.chunks_exact(2).map(|logits| f64::from(logits[1]) - f64::from(logits[0])).collect();
    let (down, across) = (Axis::new(side, height, true), Axis::new(side, width, true));
    let across: Vec<Neighbours> = (0..width).map(|x| across.at(x)).collect();
    let mut row = vec![0.0; side];
    let mut pixels = Vec::with_capacity(height * width);
    let mut sum = 0.0;
    for y in 0..height {
        let at = down.at(y);
        let [first, second] = [at.first, at.second].map(|r| &difference[r * side..][..side]);
        for ((out, &first), &second) in row.iter_mut().zip(first).zip(second) {
            *out = first + at.fraction * (second - first);
        }
        for at in &across {
            let (first, second) = (row[at.first], row[at.second]);
            let difference = first + at.fraction * (second - first);
            pixels.push(u8::from(difference > 0.0));
            if difference > 0.0 {
                sum += 1.0 / (1.0 + (-difference).exp()); // the softmax's share of class 1
            }
        }
    }
    let mask = Mask { width, height, pixels };
    let score = if sum > 0.0 { sum / mask.area() as f64 } else { 0.0 };
    Ok(Prediction { mask, score })
}

fn check(grid: &[f32], side: usize) -> Result<()> {
    let Some(i) = grid.iter().position(|logit| !logit.is_finite()) else { return Ok(()) };
    let (row, column) = (i / 2 / side, i / 2 % side);
    Err(Error::numeric(format!(
        "the logit of row {row}, column {column} of the grid is {}; are the weights sound?",
        grid[i]
    )))
}
