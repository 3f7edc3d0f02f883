//! A mask as pixels, and resizing it as PIL does.

/// Object pixels, row-major: `height * width` bytes, 1 inside the object, else 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
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
