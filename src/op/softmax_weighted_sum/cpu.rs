//! Softmax-weighted sum on the CPU: the shared tiled attention with one unscaled head.

use super::SoftmaxWeightedSum;
use crate::cpu::attention::{self, Columns, ColumnsMut, Saved};
use crate::cpu::rows::Parts;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for SoftmaxWeightedSum {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let Some(sizes) = Self::sizes(pass.inputs.shape(0), pass.inputs.shape(1)) else { return };
        let [q, k, v] = columns(&pass.inputs);
        let mask = Some(pass.inputs.indices(3));
        let lse = pass.kept.pop();
        attention::forward(&sizes, q, k, v, mask, pass.out, lse, pass.workspace);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let Some(sizes) = Self::sizes(pass.inputs.shape(0), pass.inputs.shape(1)) else { return };
        let [q, k, v] = columns(&pass.inputs);
        let mask = Some(pass.inputs.indices(3));
        let saved = Saved { q, k, v, mask, lse: pass.kept[0], dout: pass.dout };
        let gradients = [0, 1, 2].map(|i| pass.gradient(i));
        let gradients = gradients.map(|g| g.map(|g| (Parts::new(g.values), g.write)));
        let row_len = sizes.head_dim;
        let [dq, dk, dv] = gradients.each_ref().map(|g| {
            let g = g.as_ref();
            g.map(|(values, write)| ColumnsMut { values, row_len, first: 0, write: *write })
        });
        attention::backward(&sizes, &saved, dq, dk, dv, pass.workspace);
    }
}

/// The first three inputs, each all columns of a tensor.
fn columns<'a, S>(inputs: &Inputs<'a, S>) -> [Columns<'a, S>; 3] {
    [0, 1, 2].map(|i| Columns {
        values: inputs.real(i),
        row_len: inputs.shape(i).channels(),
        first: 0,
    })
}
