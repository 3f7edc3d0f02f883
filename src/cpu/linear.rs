//! Linear layers, for every operation that has one: products, the forward one with bias, activation and residual in
//! it; the norm is a pass of its own before it.

use super::activation::{Activation, gelu, gelu_both, relu};
use super::norm::{self, Statistics, StatisticsMut, Wanted};
use super::product::{Matrix, MatrixMut, Panels, Right, multiply, multiply_then};
use super::rows::{self, Parts};
use super::sum::{column_sums, column_sums_workspace};
use crate::scalar::Scalar;
use crate::write::Write;

/// `n weight^T`, where `n` is the norm of `inp [rows, inputs]`, or `inp` itself.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a, S> {
    pub rows: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub inp: &'a [S],
    pub norm: Option<Norm<'a, S>>,
    /// `[outputs, inputs]`; [`Panels`] of its transposed if it is packed.
    pub weight: &'a [S],
    pub packed: bool,
}

/// A norm's parameters, and what it adds to the variance.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a, S> {
    pub weight: &'a [S],
    pub bias: &'a [S],
    pub eps: f64,
}

/// What follows the product: `out = activation(pre) + residual` with `pre = n weight^T + bias`.
#[derive(Debug)]
pub struct After<'a, S> {
    pub bias: Option<&'a [S]>,
    pub activation: Activation,
    /// Where `pre` is left.
    pub pre: Option<&'a mut [S]>,
    pub residual: Option<&'a [S]>,
}

/// Gradients that are wanted.
#[derive(Debug)]
pub struct Gradients<'a, S> {
    pub inp: Wanted<'a, S>,
    pub weight: Wanted<'a, S>,
    /// Of the norm's weight and bias.
    pub norm: [Wanted<'a, S>; 2],
    pub bias: Wanted<'a, S>,
}

impl<S> Gradients<'_, S> {
    /// Whether one is wanted.
    pub fn any(&self) -> bool {
        let Self { inp, weight, norm: [norm_weight, norm_bias], bias } = self;
        [inp, weight, norm_weight, norm_bias, bias].iter().any(|wanted| wanted.is_some())
    }
}

/// Elements of scratch memory of a backward pass: `n` and `dn`, and sums.
pub fn backward_workspace(
    rows: usize,
    inputs: usize,
    outputs: usize,
    norm: bool,
    bias: bool,
) -> usize {
    let of_bias = if bias { column_sums_workspace(rows, outputs) } else { 0 };
    let of_norm = if norm { norm::backward_workspace(rows, inputs) } else { 0 };
    of_bias.max(of_norm) + if norm { rows * inputs } else { 0 }
}

impl<'a, S: Scalar> Layer<'a, S> {
    /// `workspace` has room for `n` if there is a norm.
    pub fn forward(
        &self,
        out: &mut [S],
        after: After<'_, S>,
        kept: Option<StatisticsMut<'_, S>>,
        workspace: &mut [S],
    ) {
        let &Self { rows, inputs, outputs, .. } = self;
        let inp = match (self.norm, self.norm_rows()) {
            (Some(norm), Some(rows)) => {
                rows.normalise(norm.eps, kept, workspace);
                &*workspace
            }
            _ => self.inp,
        };
        let inp = Matrix::new(inp, rows, inputs);
        let weight = match self.packed {
            true => Right::Panels(Panels::new(self.weight, inputs, outputs)),
            false => Right::Matrix(Matrix::new(self.weight, outputs, inputs).t()),
        };
        let After { bias, activation, pre, residual } = after;
        let finish = Finish { cols: outputs, bias, residual, pre: pre.map(Parts::new) };
        let out = MatrixMut::new(out, rows, outputs);
        match activation {
            Activation::None => finish.multiply(out, inp, weight, |x| x),
            Activation::Relu => finish.multiply(out, inp, weight, relu),
            Activation::Gelu => finish.multiply(out, inp, weight, gelu),
        }
    }

    /// The gradients, from that of `pre`; `kept` of the norm, if there is one. The weight is not packed.
    pub fn backward(
        &self,
        dpre: &[S],
        kept: Option<Statistics<'_, S>>,
        gradients: Gradients<'_, S>,
        workspace: &mut [S],
    ) {
        let &Self { rows, inputs, outputs, .. } = self;
        let of_norm = if self.norm.is_some() { rows * inputs } else { 0 };
        let (of_norm, sums) = workspace.split_at_mut(of_norm);
        if let Some((dbias, write)) = gradients.bias {
            add_rows(dbias, write, dpre, sums);
        }
        // forward: pre = n weight^T + bias
        let gradient = Matrix::new(dpre, rows, outputs);
        let norm = self.norm_rows().zip(kept);
        if let Some((dweight, write)) = gradients.weight {
            let n = match &norm {
                Some((rows, kept)) => {
                    rows.normalise_again(*kept, of_norm);
                    &*of_norm
                }
                None => self.inp,
            };
            let out = MatrixMut::new(dweight, outputs, inputs);
            multiply(out, write, gradient.t(), Matrix::new(n, rows, inputs));
        }
        let weight = Matrix::new(self.weight, outputs, inputs);
        let [dweight, dbias] = gradients.norm;
        match (norm, gradients.inp) {
            (Some((of_rows, kept)), dinp) => {
                multiply(MatrixMut::new(of_norm, rows, inputs), Write::Set, gradient, weight);
                let norm::Rows { inp, weight, .. } = of_rows;
                let of_rows = norm::Backward { inp, weight, kept, dout: of_norm };
                of_rows.run(norm::Gradients { dinp, dweight, dbias }, sums);
            }
            (None, Some((dinp, write))) => {
                multiply(MatrixMut::new(dinp, rows, inputs), write, gradient, weight);
            }
            (None, None) => {}
        }
    }

    /// `dpre = dinp activation'(pre)` of the layer before, whose activated numbers `[rows, inputs]` are the input of this
    /// one, by the derivatives.
    pub fn backward_through(&self, dout: &[S], derivatives: &[S], dpre: &mut [S]) {
        let &Self { rows, inputs, outputs, .. } = self;
        let gradient = Matrix::new(dout, rows, outputs);
        let weight = Right::Matrix(Matrix::new(self.weight, outputs, inputs));
        multiply_then(
            MatrixMut::new(dpre, rows, inputs),
            gradient,
            weight,
            #[inline(always)]
            |row, col, sums| {
                let derivatives = &derivatives[row * inputs + col..];
                for (d, &derivative) in sums.iter_mut().zip(derivatives) {
                    *d = derivative * *d;
                }
            },
        );
    }

    /// What the norm is made of, if there is one.
    fn norm_rows(&self) -> Option<norm::Rows<'a, S>> {
        let Norm { weight, bias, .. } = self.norm?;
        Some(norm::Rows { inp: self.inp, weight, bias })
    }
}

/// `dbias = sum over rows of dpre`
fn add_rows<S: Scalar>(dbias: &mut [S], write: Write, dpre: &[S], sums: &mut [S]) {
    let outputs = dbias.len();
    column_sums(
        dbias,
        write,
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

/// `out = activation(pre)` and `derivatives = activation'(pre)`.
pub fn activate_both<S: Scalar>(
    out: &mut [S],
    derivatives: &mut [S],
    pre: &[S],
    activation: Activation,
) {
    let derivatives = Parts::new(derivatives);
    rows::for_parts(
        out,
        #[inline(always)]
        |range, out| {
            // SAFETY: chunks do not overlap.
            let derivatives = unsafe { derivatives.part(range.clone()) };
            for ((out, derivative), &pre) in out.iter_mut().zip(derivatives).zip(&pre[range]) {
                (*out, *derivative) = match activation {
                    Activation::None => (pre, S::ONE),
                    Activation::Relu if pre > S::ZERO => (pre, S::ONE),
                    Activation::Relu => (S::ZERO, S::ZERO),
                    Activation::Gelu => gelu_both(pre),
                };
            }
        },
    );
}

/// `dpre = dout activation'(pre)`; `saved` is `pre`, or for ReLU `activation(pre)`.
pub fn differentiate<S: Scalar>(dpre: &mut [S], saved: &[S], dout: &[S], activation: Activation) {
    rows::for_parts(
        dpre,
        #[inline(always)]
        |range, dpre| {
            let (saved, dout) = (&saved[range.clone()], &dout[range]);
            for ((dpre, &saved), &dout) in dpre.iter_mut().zip(saved).zip(dout) {
                *dpre = derivative(activation, saved, dout);
            }
        },
    );
}

#[inline(always)]
fn derivative<S: Scalar>(activation: Activation, saved: S, dout: S) -> S {
    match activation {
        Activation::None => dout,
        Activation::Relu if saved > S::ZERO => dout,
        Activation::Relu => S::ZERO,
        Activation::Gelu => dout * gelu_both(saved).1,
    }
}
