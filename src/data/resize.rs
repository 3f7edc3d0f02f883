//! Resizing pictures exactly as PIL's bilinear does it on bytes, and normalising them for the model.
//!
//! A port of Pillow's resampling: the triangle filter is widened by the scale when shrinking, its
//! weights are rounded to 22 fractional bits, and a horizontal pass, then a vertical pass, each
//! round to a byte. A pass whose extent does not change is left out. This is Pillow up to 12.2, with
//! which the backbones were trained; Pillow 13 takes the vertical pass first where that is cheaper,
//! for example from 427 x 640 to 480 x 480, which moves a quarter of the bytes by 1.

use super::image::Picture;
use crate::error::{Error, Result};

/// Fractional bits of a weight: 32 less 8 of the byte and 2 to spare.
const PRECISION_BITS: u32 = 32 - 8 - 2;
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Mean and standard deviation of a channel of ImageNet, red, green, blue, for values in 0..1.
pub const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
pub const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// The picture at another size, its aspect ratio not kept. An extent of 0 is an error.
pub fn resize(picture: &Picture, width: usize, height: usize) -> Result<Picture> {
    let extents = [picture.width, picture.height, width, height];
    if extents.contains(&0) || picture.pixels.len() != picture.width * picture.height * 3 {
        return Err(Error::usage(format!(
            "resizing {} x {} pixels of {} bytes to {width} x {height}; extents of at least 1 and \
             three bytes a pixel were expected",
            picture.width,
            picture.height,
            picture.pixels.len()
        )));
    }
    let mut pixels = picture.pixels.clone();
    if width != picture.width {
        pixels = horizontal(&pixels, picture.width, width);
    }
    if height != picture.height {
        pixels = vertical(&pixels, picture.height, height);
    }
    Ok(Picture { width, height, pixels })
}

/// What one output position reads: inputs `first..first + weights.len()`.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

/// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc` for the triangle filter.
fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let inverse = 1.0 / support;
    let tap = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        // The casts cut towards zero, as C's do; a negative start becomes 0.
        let first = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let raw: Vec<f64> = (0..end - first)
            .map(|x| (1.0 - (((x + first) as f64 - center + 0.5) * inverse).abs()).max(0.0))
            .collect();
        let sum: f64 = raw.iter().sum();
        let fixed = |w: f64| (0.5 + w / sum * f64::from(1u32 << PRECISION_BITS)) as i32;
        Tap { first, weights: raw.into_iter().map(fixed).collect() }
    };
    (0..to).map(tap).collect()
}

fn byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

fn horizontal(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let taps = taps(from, to);
    let rows = pixels.len() / (from * 3);
    let mut out = vec![0; rows * to * 3];
    for (row, target) in pixels.chunks_exact(from * 3).zip(out.chunks_exact_mut(to * 3)) {
        for (tap, pixel) in taps.iter().zip(target.chunks_exact_mut(3)) {
            let mut sum = [HALF; 3];
            for (source, &weight) in row[tap.first * 3..].chunks_exact(3).zip(&tap.weights) {
                for channel in 0..3 {
                    sum[channel] += i32::from(source[channel]) * weight;
                }
            }
            pixel.copy_from_slice(&sum.map(byte));
        }
    }
    out
}

fn vertical(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let stride = pixels.len() / from;
    let mut out = vec![0; stride * to];
    let mut sums = vec![0; stride];
    for (tap, target) in taps(from, to).iter().zip(out.chunks_exact_mut(stride)) {
        sums.fill(HALF);
        for (row, &weight) in pixels[tap.first * stride..].chunks_exact(stride).zip(&tap.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        for (value, &sum) in target.iter_mut().zip(&sums) {
            *value = byte(sum);
        }
    }
    out
}

/// The model's input `[3, height, width]`: `(x / 255 - mean) / std` in f32, as torchvision has it.
pub fn normalise(picture: &Picture) -> Vec<f32> {
    let area = picture.width * picture.height;
    let mut out = Vec::with_capacity(area * 3);
    for channel in 0..3 {
        let value = |byte: usize| (byte as f32 / 255.0 - MEAN[channel]) / STD[channel];
        let table: [f32; 256] = std::array::from_fn(value);
        out.extend(picture.pixels.chunks_exact(3).map(|pixel| table[usize::from(pixel[channel])]));
    }
    out
}
