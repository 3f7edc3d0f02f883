//! Linear layer on the CPU: products, the forward one with bias, activation and residual in it; norm
//! and dropout are passes of their own, before it and after it.

use super::Linear;
use crate::cpu::activation::{Activation, gelu, gelu_derivative, relu};
use crate::cpu::norm::{self, StatisticsMut};
use crate::cpu::product::{Matrix, MatrixMut, Panels, Right, multiply, multiply_then};
use crate::cpu::rows::{self, Parts};
use crate::cpu::sum::column_sums;
use crate::op::contract::{Backward, Forward, Gradient, Inputs, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Linear {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let Sizes { rows, inputs, outputs, samples } = Sizes::of(&pass.inputs);
        let pre = (self.activation == Activation::Gelu).then(|| pass.kept.pop()).flatten();
        let (rstd, mean) = (pass.kept.pop(), pass.kept.pop());
        let kept = mean.zip(rstd).map(|(mean, rstd)| StatisticsMut { mean, rstd });
        let inp = match (self.norm, self.norm_rows(&pass.inputs)) {
            (Some(eps), Some(rows)) => {
                rows.normalise(eps, kept, pass.workspace);
                &*pass.workspace
            }
            _ => pass.inputs.real(0),
        };
        let inp = Matrix::new(inp, rows, inputs);
        let weight = pass.inputs.real(1);
        let weight = match self.packed {
            true => Right::Panels(Panels::new(weight, inputs, outputs)),
            false => Right::Matrix(Matrix::new(weight, outputs, inputs).t()),
        };
        let residual = self.residual_input().map(|i| pass.inputs.real(i));
        let finish = Finish {
            cols: outputs,
            bias: self.bias_input().map(|i| pass.inputs.real(i)),
            residual: residual.filter(|_| self.drop.is_none()),
            pre: pre.map(Parts::new),
        };
        let out = MatrixMut::new(pass.out, rows, outputs);
        match self.activation {
            Activation::None => finish.multiply(out, inp, weight, |x| x),
            Activation::Relu => finish.multiply(out, inp, weight, relu),
            Activation::Gelu => finish.multiply(out, inp, weight, gelu),
        }
        if let Some(drop) = &self.drop {
            drop.apply_in_place(pass.out, residual, samples, pass.random);
        }
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let sizes = Sizes::of(&pass.inputs);
        let Sizes { rows, inputs, outputs, samples } = sizes;
        // forward: out = residual + drop(activation(pre))
        if let Some(dresidual) = self.residual_input().and_then(|i| pass.gradient(i)) {
            rows::write_all(dresidual.values, dresidual.write, pass.dout);
        }
        let [of_norm, of_dpre, _] = self.backward_workspace(rows, inputs, outputs);
        let (of_norm, rest) = std::mem::take(&mut pass.workspace).split_at_mut(of_norm);
        let (dpre, sums) = rest.split_at_mut(of_dpre);
        match (&self.drop, self.activation) {
            (Some(drop), _) => drop.apply(dpre, pass.dout, samples, pass.random),
            (None, Activation::None) => {}
            (None, Activation::Relu) => differentiate(dpre, pass.out, pass.dout, self.activation),
            (None, Activation::Gelu) => {
                let pre = pass.kept[pass.kept.len() - 1];
                differentiate(dpre, pre, pass.dout, self.activation);
            }
        }
        let dpre: &[S] = if self.differentiates() { dpre } else { pass.dout };
        if let Some(dbias) = self.bias_input().and_then(|i| pass.gradient(i)) {
            add_rows(dbias, dpre, sums);
        }
        // forward: pre = n weight^T + bias
        let gradient = Matrix::new(dpre, rows, outputs);
        if let Some(dweight) = pass.gradient(1) {
            let n = match self.norm_rows(&pass.inputs) {
                Some(rows) => {
                    rows.normalise_again(statistics(&pass), of_norm);
                    &*of_norm
                }
                None => pass.inputs.real(0),
            };
            let out = MatrixMut::new(dweight.values, outputs, inputs);
            multiply(out, dweight.write, gradient.t(), Matrix::new(n, rows, inputs));
        }
        let weight = Matrix::new(pass.inputs.real(1), outputs, inputs);
        if self.norm.is_some() {
            multiply(MatrixMut::new(of_norm, rows, inputs), Write::Set, gradient, weight);
            self.backward_norm(pass, of_norm, sums);
        } else if let Some(dinp) = pass.gradient(0) {
            multiply(MatrixMut::new(dinp.values, rows, inputs), dinp.write, gradient, weight);
        }
    }
}

impl Linear {
    /// What the norm is made of, if there is one.
    fn norm_rows<'a, S: Scalar>(&self, inputs: &Inputs<'a, S>) -> Option<norm::Rows<'a, S>> {
        let i = self.norm_input()?;
        let (weight, bias) = (inputs.real(i), inputs.real(i + 1));
        Some(norm::Rows { inp: inputs.real(0), weight, bias })
    }

    /// The gradients of the input and of the norm's parameters, from `dn`.
    fn backward_norm<S: Scalar>(&self, mut pass: Backward<'_, S>, dn: &[S], sums: &mut [S]) {
        let Some(norm::Rows { inp, weight, .. }) = self.norm_rows(&pass.inputs) else { return };
        let [dinp, dweight, dbias] =
            [0, 2, 3].map(|i| pass.gradient(i).map(|g| (g.values, g.write)));
        let of_rows = norm::Backward { inp, weight, kept: statistics(&pass), dout: dn };
        of_rows.run(norm::Gradients { dinp, dweight, dbias }, sums);
    }
}

/// What forward kept of the norm.
fn statistics<'a, S>(pass: &Backward<'a, S>) -> norm::Statistics<'a, S> {
    norm::Statistics { mean: pass.kept[0], rstd: pass.kept[1] }
}

/// Extents of the product.
struct Sizes {
    rows: usize,
    inputs: usize,
    outputs: usize,
    /// Leading extent of the input.
    samples: usize,
}

impl Sizes {
    fn of<S>(inputs: &Inputs<'_, S>) -> Self {
        let inp = inputs.shape(0);
        let outputs = inputs.shape(1).extents()[0];
        Self { rows: inp.rows(), inputs: inp.channels(), outputs, samples: inp.extents()[0] }
    }
}

/// `dbias = sum over rows of dpre`
fn add_rows<S: Scalar>(dbias: Gradient<'_, S>, dpre: &[S], sums: &mut [S]) {
    let outputs = dbias.values.len();
    column_sums(
        dbias.values,
        dbias.write,
        dpre.len() / outputs,
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
