//! Cross-attention on the CPU: the shared tiled attention over queries and key-value columns.

use super::CrossAttention;
use crate::cpu::attention::{self, Columns, ColumnsMut, Saved};
use crate::cpu::rows::Parts;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;

impl CrossAttention {
    /// q, k and v among the inputs, which have `channels` columns each.
    fn columns<'a, S>(&self, inputs: &Inputs<'a, S>, channels: usize) -> [Columns<'a, S>; 3] {
        let key_value = |first| Columns { values: inputs.real(1), row_len: 2 * channels, first };
        let q = Columns { values: inputs.real(0), row_len: channels, first: 0 };
        [q, key_value(0), key_value(channels)]
    }
}

impl<S: Scalar> OnCpu<S> for CrossAttention {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let shapes = (pass.inputs.shape(0), pass.inputs.shape(1));
        let Some(sizes) = self.sizes(shapes.0, shapes.1) else { return };
        let [q, k, v] = self.columns(&pass.inputs, shapes.0.channels());
        let mask = self.masked.then(|| pass.inputs.indices(2));
        let lse = pass.kept.pop();
        attention::forward(&sizes, q, k, v, mask, pass.out, lse, pass.workspace);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let shapes = (pass.inputs.shape(0), pass.inputs.shape(1));
        let Some(sizes) = self.sizes(shapes.0, shapes.1) else { return };
        let channels = shapes.0.channels();
        let [q, k, v] = self.columns(&pass.inputs, channels);
        let mask = self.masked.then(|| pass.inputs.indices(2));
        let saved = Saved { q, k, v, mask, lse: pass.kept[0], dout: pass.dout };
        let (dq, dkv) = (pass.gradient(0), pass.gradient(1));
        let dq = dq.map(|g| (Parts::new(g.values), g.write));
        let dkv = dkv.map(|g| (Parts::new(g.values), g.write));
        let dq = dq.as_ref().map(|(values, write)| ColumnsMut {
            values,
            row_len: channels,
            first: 0,
            write: *write,
        });
        let [dk, dv] = [0, channels].map(|first| {
            let columns =
                |(values, write)| ColumnsMut { values, row_len: 2 * channels, first, write };
            dkv.as_ref().map(|(values, write)| columns((values, *write)))
        });
        attention::backward(&sizes, &saved, dq, dk, dv, pass.workspace);
    }
}
