//! Self-attention on the CPU: the shared tiled attention over three groups of columns.

use super::SelfAttention;
use crate::cpu::attention::{self, Columns, ColumnsMut, Saved};
use crate::cpu::rows::Parts;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for SelfAttention {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let Some(sizes) = self.sizes(pass.inputs.shape(0)) else { return };
        let [q, k, v] = columns(pass.inputs.real(0), sizes.heads * sizes.head_dim);
        let mask = self.masked.then(|| pass.inputs.indices(1));
        let lse = pass.kept.pop();
        attention::forward(&sizes, q, k, v, mask, pass.out, lse, pass.workspace);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let Some(sizes) = self.sizes(pass.inputs.shape(0)) else { return };
        let Some(dqkv) = pass.gradient(0) else { return };
        let channels = sizes.heads * sizes.head_dim;
        let [q, k, v] = columns(pass.inputs.real(0), channels);
        let mask = self.masked.then(|| pass.inputs.indices(1));
        let saved = Saved { q, k, v, mask, lse: pass.kept[0], dout: pass.dout };
        let values = Parts::new(dqkv.values);
        let [dq, dk, dv] = [0, channels, 2 * channels].map(|first| {
            Some(ColumnsMut { values: &values, row_len: 3 * channels, first, write: dqkv.write })
        });
        attention::backward(&sizes, &saved, dq, dk, dv, pass.workspace);
    }
}

/// q, k and v of `qkv [.., 3C]`.
fn columns<S>(qkv: &[S], channels: usize) -> [Columns<'_, S>; 3] {
    [0, 1, 2].map(|i| Columns { values: qkv, row_len: 3 * channels, first: i * channels })
}
