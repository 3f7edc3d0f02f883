//! Bilinear resizing on the CPU, row by row of the result: the rows of the source mixed into one,
//! then its columns. Backward is the transposed mixing, in the order of the source's positions.

use super::Resize;
use crate::cpu::interpolation::Axis;
use crate::cpu::rows::{self, Parts};
use crate::cpu::scratch::with_scratch;
use crate::cpu::simd::vectorised;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::write::Write;

/// Sizes of both maps.
struct Sizes {
    channels: usize,
    inp_width: usize,
    out_width: usize,
    inp_height: usize,
    out_height: usize,
    down: Axis,
    across: Axis,
}

impl Resize {
    fn sizes(&self, inp: &Shape) -> Sizes {
        let [inp_height, inp_width, channels] = [1, 2, 3].map(|i| inp.extents()[i]);
        Sizes {
            channels,
            inp_width,
            out_width: self.width,
            inp_height,
            out_height: self.height,
            down: Axis::new(inp_height, self.height, self.align_corners),
            across: Axis::new(inp_width, self.width, self.align_corners),
        }
    }
}

impl<S: Scalar> OnCpu<S> for Resize {
    fn forward(&self, pass: Forward<'_, S>) {
        let sizes = self.sizes(pass.inputs.shape(0));
        let inp_len = sizes.inp_width * sizes.channels;
        let inp = pass.inputs.real(0);
        rows::for_rows(pass.out, sizes.out_width * sizes.channels, |row, out| {
            let (item, y) = (row / sizes.out_height, row % sizes.out_height);
            let at = sizes.down.at(y);
            let inp_row = |r: usize| &inp[(item * sizes.inp_height + r) * inp_len..][..inp_len];
            with_scratch(inp_len, |mixed: &mut [S]| {
                vectorised(
                    #[inline(always)]
                    || {
                        mix(mixed, inp_row(at.first), inp_row(at.second), at.fraction);
                        mix_columns(out, mixed, &sizes);
                    },
                );
            });
        });
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let sizes = self.sizes(pass.inputs.shape(0));
        let Some(dinp) = pass.gradient(0) else { return };
        let (inp_len, out_len) =
            (sizes.inp_width * sizes.channels, sizes.out_width * sizes.channels);
        let dout = pass.dout;
        let rows = dinp.values.len() / inp_len.max(1);
        let chunk = rows::chunk_rows(dout.len() / rows.max(1));
        let dinp_rows = Parts::new(dinp.values);
        // Several rows a task where there is little to add up for each.
        rows::for_chunks(rows, chunk, |range| {
            for row in range {
                let (item, r) = (row / sizes.inp_height, row % sizes.inp_height);
                let dout = &dout[item * sizes.out_height * out_len..][..sizes.out_height * out_len];
                // SAFETY: every row belongs to one chunk.
                let slots = unsafe { dinp_rows.row(row, inp_len) };
                with_scratch(out_len, |mixed: &mut [S]| {
                    vectorised(
                        #[inline(always)]
                        || {
                            gather_rows(mixed, dout, r, &sizes.down);
                            gather_columns(slots, dinp.write, mixed, &sizes);
                        },
                    );
                });
            }
        });
    }
}

/// `out = (1 - fraction) first + fraction second`
#[inline(always)]
fn mix<S: Scalar>(out: &mut [S], first: &[S], second: &[S], fraction: f64) {
    let (a, b) = (S::from_f64(1.0 - fraction), S::from_f64(fraction));
    for ((out, &first), &second) in out.iter_mut().zip(first).zip(second) {
        *out = a * first + b * second;
    }
}

/// One row of output pixels from one row of input pixels.
#[inline(always)]
fn mix_columns<S: Scalar>(out: &mut [S], inp: &[S], sizes: &Sizes) {
    let channels = sizes.channels;
    for (x, out) in out.chunks_exact_mut(channels.max(1)).enumerate() {
        let at = sizes.across.at(x);
        let pixel = |c: usize| &inp[c * channels..][..channels];
        mix(out, pixel(at.first), pixel(at.second), at.fraction);
    }
}

/// Sum over the rows of `dout` that have row `r` as a neighbour.
#[inline(always)]
fn gather_rows<S: Scalar>(sum: &mut [S], dout: &[S], r: usize, down: &Axis) {
    sum.fill(S::ZERO);
    let len = sum.len();
    for y in down.touching(r) {
        // forward: mixed = (1 - fraction) inp[first] + fraction inp[second]
        let weight = S::from_f64(down.at(y).weight(r));
        let dout = &dout[y * len..][..len];
        for (sum, &d) in sum.iter_mut().zip(dout) {
            *sum += weight * d;
        }
    }
}

/// Sum over the pixels of a row of gradients that have each input pixel as a neighbour.
#[inline(always)]
fn gather_columns<S: Scalar>(dinp: &mut [S], write: Write, dmixed: &[S], sizes: &Sizes) {
    let channels = sizes.channels;
    write.begin(dinp);
    for (c, dinp) in dinp.chunks_exact_mut(channels.max(1)).enumerate() {
        for x in sizes.across.touching(c) {
            // forward: out[x] = (1 - fraction) mixed[first] + fraction mixed[second]
            let weight = S::from_f64(sizes.across.at(x).weight(c));
            let dmixed = &dmixed[x * channels..][..channels];
            for (dinp, &d) in dinp.iter_mut().zip(dmixed) {
                *dinp += weight * d;
            }
        }
    }
}
