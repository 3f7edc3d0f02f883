//! A mask as pixels: painting runs, resizing as PIL does it.

use super::run_length::Rle;

/// Object pixels, row-major: `height * width` bytes, 1 inside the object, else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// What a pixel is that several polygons of one annotation cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Foreground.
    #[default]
    Union,
    /// Background, as in LAVT's code, which keeps the pixels whose number of polygons equals 1.
    Lavt,
}

impl Mask {
    /// Foreground pixels.
    pub fn area(&self) -> usize {
        self.pixels.iter().map(|&pixel| usize::from(pixel)).sum()
    }

    /// The mask in another size by nearest neighbour, pixel for pixel as PIL's
    /// `resize((width, height), NEAREST)`.
    pub fn resize_nearest(&self, width: usize, height: usize) -> Mask {
        let columns = nearest(self.width, width);
        let mut pixels = Vec::with_capacity(width * height);
        for y in nearest(self.height, height) {
            let row = &self.pixels[y * self.width..][..self.width];
            pixels.extend(columns.iter().map(|&x| row[x]));
        }
        Mask { width, height, pixels }
    }
}

/// The source index of every target index: `floor((i + 1/2) * source / target)`, where, as in PIL
/// (`ImagingScaleAffine`), the product is summed up step by step in doubles. The sum's rounding
/// decides where a source pixel's edge falls on a target pixel's middle.
fn nearest(source: usize, target: usize) -> Vec<usize> {
    let scale = source as f64 / target as f64;
    let mut place = scale * 0.5;
    let mut indices = Vec::with_capacity(target);
    for _ in 0..target {
        indices.push((place as usize).min(source.saturating_sub(1)));
        place += scale;
    }
    indices
}

/// The mask of several layers of runs, all of `height` x `width`.
///
/// Costs one pass over the runs and one over the touched columns, however many layers overlap.
pub(crate) fn paint(height: usize, width: usize, layers: &[Rle], overlap: Overlap) -> Mask {
    let mut pixels = vec![0; height * width];
    // Change of the number of layers at each place in column-major order.
    let mut change = vec![0i32; height * width + 1];
    let [mut first, mut last] = [height * width, 0];
    for (start, end) in layers.iter().flat_map(Rle::foreground) {
        change[start] += 1;
        change[end] -= 1;
        first = first.min(start);
        last = last.max(end);
    }
    let mut layers_here = 0;
    for x in first / height..last.div_ceil(height) {
        for y in 0..height {
            layers_here += change[x * height + y];
            pixels[y * width + x] = u8::from(match overlap {
                Overlap::Union => layers_here > 0,
                Overlap::Lavt => layers_here == 1,
            });
        }
    }
    Mask { width, height, pixels }
}
