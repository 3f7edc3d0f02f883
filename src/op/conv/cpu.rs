//! Convolution on the CPU: one product of all pixels with the weights of all taps, whose results
//! are then added where they belong.
//!
//! A tap is one `(i, j)` of the kernel. The product comes before the shift because a model's
//! convolutions have no more outputs than inputs: `[pixels, taps O]` is then smaller than the
//! `[pixels, taps I]` of shifting first, for 24 or 2 outputs by far. The weight is repacked to
//! `[taps, O, I]` in each pass, which costs about 3 % of the largest product.

use std::ops::Range;

use super::Conv;
use crate::cpu::product::{Matrix, MatrixMut, multiply};
use crate::cpu::rows::{self, Parts};
use crate::cpu::sum::column_sums;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

/// Sizes of a convolution.
struct Sizes {
    height: usize,
    width: usize,
    pixels: usize,
    channels: usize,
    outputs: usize,
    kernel: usize,
}

impl Sizes {
    fn new<S: Scalar>(inputs: &Inputs<S>) -> Self {
        let (inp, weight) = (inputs.shape(0), inputs.shape(1).extents());
        Self {
            height: inp.extents()[1],
            width: inp.extents()[2],
            pixels: inp.rows(),
            channels: weight[1],
            outputs: weight[0],
            kernel: weight[2],
        }
    }

    fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Elements of the product of all pixels with all taps.
    fn products(&self) -> usize {
        self.pixels * self.taps() * self.outputs
    }

    fn weight(&self) -> usize {
        self.taps() * self.outputs * self.channels
    }
}

impl<S: Scalar> OnCpu<S> for Conv {
    fn forward(&self, pass: Forward<'_, S>) {
        let sizes = Sizes::new(&pass.inputs);
        let columns = sizes.taps() * sizes.outputs;
        let (products, packed) = pass.workspace.split_at_mut(sizes.products());
        let packed = &mut packed[..sizes.weight()];
        pack(packed, pass.inputs.real(1), &sizes);
        let inp = Matrix::new(pass.inputs.real(0), sizes.pixels, sizes.channels);
        let weight = Matrix::new(packed, columns, sizes.channels);
        let out = MatrixMut::new(&mut *products, sizes.pixels, columns);
        multiply(out, Write::Set, inp, weight.t());
        add_taps(pass.out, products, pass.inputs.real(2), &sizes);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let sizes = Sizes::new(&pass.inputs);
        let columns = sizes.taps() * sizes.outputs;
        let workspace = std::mem::take(&mut pass.workspace);
        let (products, workspace) = workspace.split_at_mut(sizes.products());
        let (packed, sums) = workspace.split_at_mut(sizes.weight());
        // forward: out = bias + sum over taps of product
        if let Some(dbias) = pass.gradient(2) {
            column_sums(
                dbias.values,
                dbias.write,
                sizes.pixels,
                sums,
                #[inline(always)]
                |row, sums| {
                    let row = &pass.dout[row * sizes.outputs..][..sizes.outputs];
                    for (sum, &d) in sums.iter_mut().zip(row) {
                        *sum += d;
                    }
                },
            );
        }
        let (dinp, dweight) = (pass.gradient(0), pass.gradient(1));
        if dinp.is_some() || dweight.is_some() {
            spread_taps(products, pass.dout, &sizes);
        }
        // forward: product = inp weight^T
        let dproduct = Matrix::new(products, sizes.pixels, columns);
        if let Some(dinp) = dinp {
            pack(packed, pass.inputs.real(1), &sizes);
            let out = MatrixMut::new(dinp.values, sizes.pixels, sizes.channels);
            multiply(out, dinp.write, dproduct, Matrix::new(packed, columns, sizes.channels));
        }
        if let Some(dweight) = dweight {
            let inp = Matrix::new(pass.inputs.real(0), sizes.pixels, sizes.channels);
            let out = MatrixMut::new(&mut *packed, columns, sizes.channels);
            multiply(out, Write::Set, dproduct.t(), inp);
            unpack(dweight.values, dweight.write, packed, &sizes);
        }
    }
}

/// The weight `[O, I, taps]` as `[taps, O, I]`.
fn pack<S: Scalar>(packed: &mut [S], weight: &[S], sizes: &Sizes) {
    let (taps, channels, outputs) = (sizes.taps(), sizes.channels, sizes.outputs);
    let packed = Parts::new(packed);
    rows::for_chunks(outputs, rows::chunk_rows(channels * taps), |range| {
        for output in range {
            let weight = &weight[output * channels * taps..][..channels * taps];
            for tap in 0..taps {
                // SAFETY: every output belongs to one chunk.
                let packed = unsafe { packed.row(tap * outputs + output, channels) };
                let column = weight[tap..].iter().step_by(taps);
                for (packed, &w) in packed.iter_mut().zip(column) {
                    *packed = w;
                }
            }
        }
    });
}

/// The gradient `[taps, O, I]` of a packed weight as that of the weight `[O, I, taps]`.
fn unpack<S: Scalar>(dweight: &mut [S], write: Write, packed: &[S], sizes: &Sizes) {
    let (taps, channels, outputs) = (sizes.taps(), sizes.channels, sizes.outputs);
    rows::for_rows(dweight, channels * taps, |output, dweight| {
        for tap in 0..taps {
            let packed = &packed[(tap * outputs + output) * channels..][..channels];
            let column = dweight[tap..].iter_mut().step_by(taps);
            for (slot, &d) in column.zip(packed) {
                write.put(slot, d);
            }
        }
    });
}

/// `out[y, x] = bias + sum over taps of product[y + i - p, x + j - p, (i, j)]`
fn add_taps<S: Scalar>(out: &mut [S], products: &[S], bias: &[S], sizes: &Sizes) {
    let &Sizes { height, width, outputs, kernel, .. } = sizes;
    let stride = sizes.taps() * outputs;
    rows::for_rows(
        out,
        width * outputs,
        #[inline(always)]
        |row, out| {
            for out in out.chunks_exact_mut(outputs.max(1)) {
                out.copy_from_slice(bias);
            }
            let (first_row, y) = (row - row % height, row % height);
            for tap in 0..sizes.taps() {
                let Some(r) = shifted(y, tap / kernel, kernel, height) else { continue };
                let columns = inside(tap % kernel, kernel, width);
                if columns.is_empty() {
                    continue;
                }
                let first = columns.start + tap % kernel - kernel / 2;
                let pixels = &products[((first_row + r) * width + first) * stride..];
                let out = &mut out[columns.start * outputs..columns.end * outputs];
                for (out, pixel) in
                    out.chunks_exact_mut(outputs.max(1)).zip(pixels.chunks(stride.max(1)))
                {
                    let product = &pixel[tap * outputs..][..outputs];
                    for (out, &p) in out.iter_mut().zip(product) {
                        *out += p;
                    }
                }
            }
        },
    );
}

/// `dproduct[y, x, (i, j)] = dout[y - i + p, x - j + p]`, 0 outside: what inverts [`add_taps`].
fn spread_taps<S: Scalar>(dproducts: &mut [S], dout: &[S], sizes: &Sizes) {
    let &Sizes { height, width, outputs, kernel, .. } = sizes;
    rows::for_rows(dproducts, sizes.taps() * outputs, |pixel, dproduct| {
        let (row, x) = (pixel / width, pixel % width);
        let (first_row, y) = (row - row % height, row % height);
        for (tap, dproduct) in dproduct.chunks_exact_mut(outputs.max(1)).enumerate() {
            let (i, j) = (kernel - 1 - tap / kernel, kernel - 1 - tap % kernel);
            let (r, c) = (shifted(y, i, kernel, height), shifted(x, j, kernel, width));
            match (r, c) {
                (Some(r), Some(c)) => {
                    let at = ((first_row + r) * width + c) * outputs;
                    dproduct.copy_from_slice(&dout[at..][..outputs]);
                }
                _ => dproduct.fill(S::ZERO),
            }
        }
    });
}

/// `at + i - p` if it lies in `0..len`.
#[inline(always)]
fn shifted(at: usize, i: usize, kernel: usize, len: usize) -> Option<usize> {
    (at + i).checked_sub(kernel / 2).filter(|&at| at < len)
}

/// The positions for which [`shifted`] lies inside.
#[inline(always)]
fn inside(i: usize, kernel: usize, len: usize) -> Range<usize> {
    let start = (kernel / 2).saturating_sub(i).min(len);
    start..(len + kernel / 2).saturating_sub(i).min(len).max(start)
}
