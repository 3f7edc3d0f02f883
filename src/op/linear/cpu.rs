//! Linear layer on the CPU: the shared one, and what is dropped in a pass of its own after it.

use super::Linear;
use crate::cpu::activation::Activation;
use crate::cpu::linear::{After, Gradients, Layer, Norm, differentiate};
use crate::cpu::norm::{Statistics, StatisticsMut};
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for Linear {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let layer = self.layer(&pass.inputs);
        let pre = (self.activation == Activation::Gelu).then(|| pass.kept.pop()).flatten();
        let (rstd, mean) = (pass.kept.pop(), pass.kept.pop());
        let kept = mean.zip(rstd).map(|(mean, rstd)| StatisticsMut { mean, rstd });
        let residual = self.residual_input().map(|i| pass.inputs.real(i));
        let straight = residual.filter(|_| self.drop.is_none());
        let bias = self.bias_input().map(|i| pass.inputs.real(i));
        let after = After { bias, activation: self.activation, pre, residual: straight };
        layer.forward(pass.out, after, kept, pass.workspace);
        if let Some(drop) = &self.drop {
            let samples = pass.inputs.shape(0).extents()[0];
            drop.apply_in_place(pass.out, residual, samples, pass.random);
        }
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let layer = self.layer(&pass.inputs);
        let samples = pass.inputs.shape(0).extents()[0];
        // forward: out = residual + drop(activation(pre))
        if let Some((dresidual, write)) = pass.wanted(self.residual_input()) {
            rows::write_all(dresidual, write, pass.dout);
        }
        let of_dpre = if self.differentiates() { pass.dout.len() } else { 0 };
        let (dpre, workspace) = std::mem::take(&mut pass.workspace).split_at_mut(of_dpre);
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
        let kept = self.norm.map(|_| Statistics { mean: pass.kept[0], rstd: pass.kept[1] });
        let norm = self.norm_input();
        let gradients = Gradients {
            inp: pass.wanted(Some(0)),
            weight: pass.wanted(Some(1)),
            norm: [norm, norm.map(|i| i + 1)].map(|i| pass.wanted(i)),
            bias: pass.wanted(self.bias_input()),
        };
        layer.backward(dpre, kept, gradients, workspace);
    }
}

impl Linear {
    fn layer<'a, S: Scalar>(&self, inputs: &Inputs<'a, S>) -> Layer<'a, S> {
        let inp = inputs.shape(0);
        let norm = self.norm.zip(self.norm_input());
        Layer {
            rows: inp.rows(),
            inputs: inp.channels(),
            outputs: inputs.shape(1).extents()[0],
            inp: inputs.real(0),
            norm: norm.map(|(eps, i)| Norm {
                weight: inputs.real(i),
                bias: inputs.real(i + 1),
                eps,
            }),
            weight: inputs.real(1),
            packed: self.packed,
        }
    }
}
