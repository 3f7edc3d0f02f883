//! A part of an axis on the CPU: all extents from the axis on make a row, the part is its columns.

use super::Slice;
use crate::cpu::columns::{Columns, copy};
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, Inputs, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Slice {
    fn forward(&self, pass: Forward<'_, S>) {
        let (whole, part) = self.columns(&pass.inputs);
        copy((pass.out, part), Write::Set, (pass.inputs.real(0), whole), part.row_len);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let (whole, part) = self.columns(&pass.inputs);
        let Some(dinp) = pass.gradient(0) else { return };
        if dinp.write == Write::Set {
            rows::for_parts(dinp.values, |_, values| values.fill(S::ZERO));
        }
        copy((dinp.values, whole), dinp.write, (pass.dout, part), part.row_len);
    }
}

impl Slice {
    /// The part as columns of the input's rows, and as whole rows.
    fn columns<S>(&self, inputs: &Inputs<'_, S>) -> (Columns, Columns) {
        let extents = &inputs.types[0].shape.extents()[self.axis..];
        let inner: usize = extents[1..].iter().product();
        let whole = Columns { row_len: extents[0] * inner, start: self.start * inner };
        (whole, Columns { row_len: self.len * inner, start: 0 })
    }
}
