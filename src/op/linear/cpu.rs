//! Linear layer on the CPU: one product, then bias, activation and residual row by row.

use super::Linear;
use crate::cpu::activation::{Activation, gelu, gelu_derivative, relu};
use crate::cpu::gemm::{Matrix, MatrixMut, multiply};
use crate::cpu::rows::{self, Parts};
use crate::cpu::sum::column_sums;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Linear {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let inp_shape = pass.inputs.shape(0);
        let (rows, inputs) = (inp_shape.rows(), inp_shape.channels());
        let outputs = pass.inputs.shape(1).extents()[0];
        let inp = Matrix::new(pass.inputs.real(0), rows, inputs);
        let weight = pass.inputs.real(1);
        let weight = match self.by_input {
            true => Matrix::new(weight, inputs, outputs),
            false => Matrix::new(weight, outputs, inputs).t(),
        };
        let bias = self.bias_input().map(|i| pass.inputs.real(i));
        let residual = self.residual_input().map(|i| pass.inputs.real(i));
        match pass.kept.pop() {
            Some(pre) => {
                multiply(MatrixMut::new(pre, rows, outputs), Write::Set, inp, weight);
                finish_kept(pass.out, pre, rows, bias, self.activation);
            }
            None => {
                multiply(MatrixMut::new(pass.out, rows, outputs), Write::Set, inp, weight);
                finish(pass.out, rows, bias, residual, self.activation);
            }
        }
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let inp_shape = pass.inputs.shape(0);
        let (rows, inputs) = (inp_shape.rows(), inp_shape.channels());
        let outputs = pass.inputs.shape(1).extents()[0];
        // forward: out = activation(pre) + residual
        if let Some(dresidual) = self.residual_input().and_then(|i| pass.gradient(i)) {
            rows::write_all(dresidual.values, dresidual.write, pass.dout);
        }
        let saved = match self.activation {
            Activation::None => pass.dout,
            Activation::Relu => pass.out,
            Activation::Gelu => pass.kept[0],
        };
        let len = if self.activation == Activation::None { 0 } else { rows * outputs };
        let (dpre, sums) = std::mem::take(&mut pass.workspace).split_at_mut(len);
        differentiate(dpre, saved, pass.dout, self.activation);
        let dpre: &[S] = if len == 0 { pass.dout } else { dpre };
        // forward: pre = inp weight^T + bias
        let gradient = Matrix::new(dpre, rows, outputs);
        if let Some(dinp) = pass.gradient(0) {
            let weight = Matrix::new(pass.inputs.real(1), outputs, inputs);
            multiply(MatrixMut::new(dinp.values, rows, inputs), dinp.write, gradient, weight);
        }
        if let Some(dweight) = pass.gradient(1) {
            let inp = Matrix::new(pass.inputs.real(0), rows, inputs);
            let out = MatrixMut::new(dweight.values, outputs, inputs);
            multiply(out, dweight.write, gradient.t(), inp);
        }
        if let Some(dbias) = self.bias_input().and_then(|i| pass.gradient(i)) {
            column_sums(
                dbias.values,
                dbias.write,
                rows,
                sums,
                #[inline(always)]
                |row, sums| {
                    let row = &dpre[row * outputs..][..outputs];
                    for (sum, &d) in sums.iter_mut().zip(row) {
                        *sum += d;
                    }
                },
            );
        }
    }
}

/// Bias, activation and residual on a product that no backward pass needs again.
fn finish<S: Scalar>(
    out: &mut [S],
    rows: usize,
    bias: Option<&[S]>,
    residual: Option<&[S]>,
    activation: Activation,
) {
    if bias.is_none() && residual.is_none() && activation == Activation::None {
        return;
    }
    let cols = out.len() / rows.max(1);
    rows::for_rows(
        out,
        cols,
        #[inline(always)]
        |row, out| {
            add_bias(out, bias);
            match activation {
                Activation::None => {}
                Activation::Relu => {
                    for x in out.iter_mut() {
                        *x = relu(*x);
                    }
                }
                Activation::Gelu => {
                    for x in out.iter_mut() {
                        *x = gelu(*x);
                    }
                }
            }
            if let Some(residual) = residual {
                let residual = &residual[row * cols..][..cols];
                for (x, &r) in out.iter_mut().zip(residual) {
                    *x += r;
                }
            }
        },
    );
}

/// Bias onto the kept product, its GELU into `out`.
fn finish_kept<S: Scalar>(
    out: &mut [S],
    pre: &mut [S],
    rows: usize,
    bias: Option<&[S]>,
    activation: Activation,
) {
    debug_assert_eq!(activation, Activation::Gelu, "only GELU keeps its product");
    let cols = out.len() / rows.max(1);
    let (out, pre) = (Parts::new(out), Parts::new(pre));
    rows::for_chunks(
        rows,
        rows::chunk_rows(cols),
        #[inline(always)]
        |range| {
            for row in range {
                // SAFETY: every row belongs to one chunk.
                let (out, pre) = unsafe { (out.row(row, cols), pre.row(row, cols)) };
                add_bias(pre, bias);
                for (out, &mut x) in out.iter_mut().zip(pre) {
                    *out = gelu(x);
                }
            }
        },
    );
}

#[inline(always)]
fn add_bias<S: Scalar>(row: &mut [S], bias: Option<&[S]>) {
    if let Some(bias) = bias {
        for (x, &b) in row.iter_mut().zip(bias) {
            *x += b;
        }
    }
}

/// `dpre = dout activation'(pre)`; `saved` is `out` for ReLU and `pre` for GELU.
fn differentiate<S: Scalar>(dpre: &mut [S], saved: &[S], dout: &[S], activation: Activation) {
    rows::for_parts(
        dpre,
        #[inline(always)]
        |range, dpre| {
            let (saved, dout) = (&saved[range.clone()], &dout[range]);
            for ((dpre, &saved), &dout) in dpre.iter_mut().zip(saved).zip(dout) {
                *dpre = match activation {
                    Activation::None => dout,
                    Activation::Relu if saved > S::ZERO => dout,
                    Activation::Relu => S::ZERO,
                    Activation::Gelu => dout * gelu_derivative(saved),
                };
            }
        },
    );
}
