//! Runs to pixels.

use super::pixels::Mask;
use super::run_length::Rle;

/// What a pixel is that several polygons of one annotation cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// Foreground.
    #[default]
    Union,
    /// Background, as in LAVT's code, which keeps the pixels whose number of polygons equals 1.
    Lavt,
}

impl Rle {
    /// The mask, row-major.
    pub fn to_mask(&self) -> Mask {
        paint(self.height(), self.width(), std::slice::from_ref(self), Overlap::Union)
    }
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
