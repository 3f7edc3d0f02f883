//! Transposition on the CPU, in square tiles, so that both sides are read and written in pieces of
//! a cache line.

use super::Transpose;
use crate::cpu::rows::{self, Parts};
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::write::Write;

/// Rows and columns of a tile.
const TILE: usize = 16;

impl<S: Scalar> OnCpu<S> for Transpose {
    fn forward(&self, pass: Forward<'_, S>) {
        let (rows, cols) = matrix(pass.inputs.shape(0));
        transpose(pass.out, Write::Set, pass.inputs.real(0), cols, rows);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let (rows, cols) = matrix(pass.inputs.shape(0));
        if let Some(dinp) = pass.gradient(0) {
            transpose(dinp.values, dinp.write, pass.dout, rows, cols);
        }
    }
}

/// Rows and columns of each sample's matrix.
fn matrix(shape: &Shape) -> (usize, usize) {
    (shape.rows() / shape.extents()[0].max(1), shape.channels())
}

/// Writes the transposed of every `cols x rows` matrix in `values` to a `rows x cols` matrix.
fn transpose<S: Scalar>(slots: &mut [S], write: Write, values: &[S], rows: usize, cols: usize) {
    let bands = rows.div_ceil(TILE);
    let batch = slots.len() / (rows * cols).max(1);
    let slots = Parts::new(slots);
    rows::for_chunks(batch * bands, rows::chunk_rows(TILE * cols), |range| {
        for i in range {
            let values = &values[i / bands * rows * cols..][..rows * cols];
            let first = i % bands * TILE;
            let end = (first + TILE).min(rows);
            let start = i / bands * rows * cols;
            // SAFETY: bands of rows do not overlap.
            let band = unsafe { slots.part(start + first * cols..start + end * cols) };
            for col in (0..cols).step_by(TILE) {
                let tile = col..(col + TILE).min(cols);
                for (row, slots) in (first..end).zip(band.chunks_exact_mut(cols)) {
                    let column = tile.clone().map(|col| values[col * rows + row]);
                    write.put_all(&mut slots[tile.clone()], column);
                }
            }
        }
    });
}
