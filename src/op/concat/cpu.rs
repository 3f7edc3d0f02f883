//! Concatenation on the CPU: all extents from the axis on make a row, inputs are its columns.

use super::Concat;
use crate::cpu::columns::{Columns, copy};
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Concat {
    fn forward(&self, pass: Forward<'_, S>) {
        let row_len = self.row_len(&pass.inputs);
        let mut start = 0;
        for i in 0..pass.inputs.types.len() {
            let len = self.columns(&pass.inputs, i);
            let from = (pass.inputs.real(i), Columns { row_len: len, start: 0 });
            copy((&mut *pass.out, Columns { row_len, start }), Write::Set, from, len);
            start += len;
        }
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let row_len = self.row_len(&pass.inputs);
        let mut start = 0;
        for i in 0..pass.inputs.types.len() {
            let len = self.columns(&pass.inputs, i);
            if let Some(dinput) = pass.gradient(i) {
                let to = (dinput.values, Columns { row_len: len, start: 0 });
                copy(to, dinput.write, (pass.dout, Columns { row_len, start }), len);
            }
            start += len;
        }
    }
}

impl Concat {
    /// Columns that input `i` has.
    fn columns<S>(&self, inputs: &Inputs<'_, S>, i: usize) -> usize {
        inputs.types[i].shape.extents()[self.axis..].iter().product()
    }

    fn row_len<S>(&self, inputs: &Inputs<'_, S>) -> usize {
        (0..inputs.types.len()).map(|i| self.columns(inputs, i)).sum()
    }
}
