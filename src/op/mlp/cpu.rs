//! The two layers on the CPU, over what is hidden between them in scratch memory.

use super::{Mlp, Residual, Sizes};
use crate::cpu::activation::Activation;
use crate::cpu::linear::{After, Gradients, Layer, Norm, activate_both};
use crate::cpu::norm::{Statistics, StatisticsMut, Wanted};
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Mlp {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let (inputs, sizes) = (&pass.inputs, Sizes::of(&pass.inputs.types));
        let pre = if self.keep_hidden { pass.kept.pop() } else { None };
        let (rstd, mean) = (pass.kept.pop(), pass.kept.pop());
        let kept = mean.zip(rstd).map(|(mean, rstd)| StatisticsMut { mean, rstd });
        let [of_norm, _] = self.forward_workspace(&sizes);
        let (normed, hidden) = pass.workspace.split_at_mut(of_norm);
        let normed = if self.normalises_in_out(&sizes) { &mut *pass.out } else { normed };
        let after =
            After { bias: Some(inputs.real(2)), activation: self.activation, pre, residual: None };
        self.first(inputs, &sizes).forward(hidden, after, kept, normed);
        let residual = match self.residual {
            Residual::None => None,
            Residual::Inp => Some(inputs.real(0)),
            Residual::Other => self.residual_input().map(|i| inputs.real(i)),
        };
        let after = After {
            bias: Some(inputs.real(4)),
            activation: Activation::None,
            pre: None,
            residual: residual.filter(|_| self.drop.is_none()),
        };
        self.second(inputs, &sizes, hidden).forward(pass.out, after, None, &mut []);
        if let Some(drop) = &self.drop {
            drop.apply_in_place(pass.out, residual, sizes.samples, pass.random);
        }
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let sizes = Sizes::of(&pass.inputs.types);
        let dinp = self.backward_residual(&mut pass);
        let [of_drop, of_pre, of_hidden, of_derivatives, _] = self.backward_workspace(&sizes);
        let (d, rest) = std::mem::take(&mut pass.workspace).split_at_mut(of_drop);
        let (pre, rest) = rest.split_at_mut(of_pre);
        let (hidden, rest) = rest.split_at_mut(of_hidden);
        let (derivatives, layers) = rest.split_at_mut(of_derivatives);
        if let Some(drop) = &self.drop {
            drop.apply(d, pass.dout, sizes.samples, pass.random);
        }
        let d: &[S] = if self.drop.is_some() { d } else { pass.dout };
        if !self.keep_hidden {
            self.make_pre(&pass.inputs, &sizes, pre, layers);
        }
        let pre: &[S] = if self.keep_hidden { pass.kept[self.norms()] } else { pre };
        activate_both(hidden, derivatives, pre, self.activation);
        self.backward_second(&mut pass, &sizes, (d, hidden), layers);
        self.backward_first(pass, &sizes, (d, derivatives), dinp, hidden, layers);
    }
}

impl Mlp {
    fn first<'a, S: Scalar>(&self, inputs: &Inputs<'a, S>, sizes: &Sizes) -> Layer<'a, S> {
        let norm = self.norm.zip(self.norm_input());
        Layer {
            rows: sizes.rows,
            inputs: sizes.inputs,
            outputs: sizes.hidden,
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

    fn second<'a, S: Scalar>(
        &self,
        inputs: &Inputs<'a, S>,
        sizes: &Sizes,
        hidden: &'a [S],
    ) -> Layer<'a, S> {
        Layer {
            rows: sizes.rows,
            inputs: sizes.hidden,
            outputs: sizes.outputs,
            inp: hidden,
            norm: None,
            weight: inputs.real(3),
            packed: self.packed,
        }
    }

    /// The residual's gradient. Where `inp` is the residual its gradient is added to from here on.
    fn backward_residual<'a, S: Scalar>(&self, pass: &mut Backward<'a, S>) -> Wanted<'a, S> {
        // forward: out = residual + drop(hidden weight2^T + bias2)
        let mut dinp = pass.wanted(Some(0));
        if let (Residual::Inp, Some((dinp, write))) = (self.residual, &mut dinp) {
            rows::write_all(dinp, *write, pass.dout);
            *write = Write::Add;
        }
        if let Some((dresidual, write)) = pass.wanted(self.residual_input()) {
            rows::write_all(dresidual, write, pass.dout);
        }
        dinp
    }

    /// `pre` as forward made it, bit by bit.
    fn make_pre<S: Scalar>(
        &self,
        inputs: &Inputs<'_, S>,
        sizes: &Sizes,
        pre: &mut [S],
        workspace: &mut [S],
    ) {
        let bias = Some(inputs.real(2));
        let after = After { bias, activation: Activation::None, pre: None, residual: None };
        let of_norm = if self.norm.is_some() { sizes.rows * sizes.inputs } else { 0 };
        self.first(inputs, sizes).forward(pre, after, None, &mut workspace[..of_norm]);
    }

    /// The gradients of the second layer's parameters.
    fn backward_second<S: Scalar>(
        &self,
        pass: &mut Backward<'_, S>,
        sizes: &Sizes,
        (d, hidden): (&[S], &[S]),
        workspace: &mut [S],
    ) {
        let (weight, bias) = (pass.wanted(Some(3)), pass.wanted(Some(4)));
        let gradients = Gradients { inp: None, weight, norm: [None, None], bias };
        self.second(&pass.inputs, sizes, hidden).backward(d, None, gradients, workspace);
    }

    /// The gradients of all that is before the second layer; `dpre` is scratch memory.
    fn backward_first<S: Scalar>(
        &self,
        mut pass: Backward<'_, S>,
        sizes: &Sizes,
        (d, derivatives): (&[S], &[S]),
        dinp: Wanted<'_, S>,
        dpre: &mut [S],
        workspace: &mut [S],
    ) {
        let norm = self.norm_input();
        let gradients = Gradients {
            inp: dinp,
            weight: pass.wanted(Some(1)),
            norm: [norm, norm.map(|i| i + 1)].map(|i| pass.wanted(i)),
            bias: pass.wanted(Some(2)),
        };
        if gradients.any() {
            // forward: hidden = activation(pre), pre = n weight1^T + bias1
            let second = self.second(&pass.inputs, sizes, &[]);
            second.backward_through(d, derivatives, dpre);
            let kept = norm.map(|_| Statistics { mean: pass.kept[0], rstd: pass.kept[1] });
            self.first(&pass.inputs, sizes).backward(dpre, kept, gradients, workspace);
        }
    }
}
