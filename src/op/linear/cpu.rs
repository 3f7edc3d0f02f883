//! Linear layer on the CPU: products, the forward one with bias, activation and residual in it.

use super::Linear;
use crate::cpu::activation::{Activation, gelu, gelu_derivative, relu};
use crate::cpu::product::{Matrix, MatrixMut, Panels, Right, multiply, multiply_then};
use crate::cpu::rows::{self, Parts};
use crate::cpu::sum::column_sums;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for Linear {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let inp_shape = pass.inputs.shape(0);
        let (rows, inputs) = (inp_shape.rows(), inp_shape.channels());
        let outputs = pass.inputs.shape(1).extents()[0];
        let inp = Matrix::new(pass.inputs.real(0), rows, inputs);
        let weight = pass.inputs.real(1);
        let weight = match self.packed {
            true => Right::Panels(Panels::new(weight, inputs, outputs)),
            false => Right::Matrix(Matrix::new(weight, outputs, inputs).t()),
        };
        let finish = Finish {
            cols: outputs,
            bias: self.bias_input().map(|i| pass.inputs.real(i)),
            residual: self.residual_input().map(|i| pass.inputs.real(i)),
            pre: pass.kept.pop().map(Parts::new),
        };
        let out = MatrixMut::new(pass.out, rows, outputs);
        match self.activation {
            Activation::None => finish.multiply(out, inp, weight, |x| x),
            Activation::Relu => finish.multiply(out, inp, weight, relu),
            Activation::Gelu => finish.multiply(out, inp, weight, gelu),
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

/// What follows the product, while a row's piece of it is in the first-level cache.
struct Finish<'a, S> {
    cols: usize,
    bias: Option<&'a [S]>,
    residual: Option<&'a [S]>,
    /// Where the product with its bias is kept.
    pre: Option<Parts<'a, S>>,
}

impl<S: Scalar> Finish<'_, S> {
    #[inline(always)]
    fn multiply(
        &self,
        out: MatrixMut<S>,
        inp: Matrix<S>,
        weight: Right<S>,
        activate: impl Fn(S) -> S + Sync,
    ) {
        multiply_then(
            out,
            inp,
            weight,
            #[inline(always)]
            |row, col, sums| {
                let at = row * self.cols + col;
                if let Some(bias) = self.bias {
                    add(sums, &bias[col..]);
                }
                if let Some(pre) = &self.pre {
                    // SAFETY: every element is finished once.
                    unsafe { pre.part(at..at + sums.len()) }.copy_from_slice(sums);
                }
                for x in sums.iter_mut() {
                    *x = activate(*x);
                }
                if let Some(residual) = self.residual {
                    add(sums, &residual[at..]);
                }
            },
        );
    }
}

#[inline(always)]
fn add<S: Scalar>(sums: &mut [S], others: &[S]) {
    for (sum, &other) in sums.iter_mut().zip(others) {
        *sum += other;
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
