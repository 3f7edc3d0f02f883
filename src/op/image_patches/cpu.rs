//! Image patches on the CPU: patch by patch out, picture row by picture row back.

use super::ImagePatches;
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;
use crate::shape::Shape;

impl<S: Scalar> OnCpu<S> for ImagePatches {
    fn forward(&self, pass: Forward<'_, S>) {
        let patch = self.patch;
        let [channels, height, width] = extents(pass.inputs.shape(0));
        let (patches_down, patches_across) = (height / patch, width / patch);
        let image = pass.inputs.real(0);
        rows::for_rows(pass.out, channels * patch * patch, |row, out| {
            let (x, rest) = (row % patches_across, row / patches_across);
            let (y, item) = (rest % patches_down, rest / patches_down);
            for (line, out) in out.chunks_exact_mut(patch).enumerate() {
                let (channel, i) = (line / patch, line % patch);
                let image_row = (item * channels + channel) * height + y * patch + i;
                out.copy_from_slice(&image[image_row * width + x * patch..][..patch]);
            }
        });
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let patch = self.patch;
        let [channels, height, width] = extents(pass.inputs.shape(0));
        let (patches_down, patches_across) = (height / patch, width / patch);
        let Some(dimage) = pass.gradient(0) else { return };
        let dout = pass.dout;
        // forward: out[b, y, x, (c, i, j)] = image[b, c, y p + i, x p + j]
        rows::for_rows(dimage.values, width, |row, values| {
            let (r, plane) = (row % height, row / height);
            let (channel, item) = (plane % channels, plane / channels);
            let first_patch = (item * patches_down + r / patch) * patches_across;
            let line = channel * patch + r % patch;
            for (x, values) in values.chunks_exact_mut(patch).enumerate() {
                let at = ((first_patch + x) * channels * patch + line) * patch;
                dimage.write.put_all(values, dout[at..][..patch].iter().copied());
            }
        });
    }
}

/// Channels, height and width of a planar picture.
fn extents(shape: &Shape) -> [usize; 3] {
    let extents = shape.extents();
    [extents[1], extents[2], extents[3]]
}
