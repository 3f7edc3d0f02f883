//! Several tensors one after the other along an axis.
//!
//! 2 to 8 inputs with the same extents but on `axis`; `out` has the sum of theirs there.
//! Backward: `dinputs[i]` is its part of `dout`.

mod cpu;
mod cuda;

use super::contract::{Kind, MAX_INPUTS, Operation, Signature, TensorType, mismatch};
use crate::error::Result;
use crate::shape::Shape;

/// Inputs: 2 to 8 tensors.
#[derive(Clone, Debug)]
pub struct Concat {
    pub axis: usize,
}

impl Operation for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let axis = self.axis;
        let wrong = |needed: String| Err(mismatch(self.name(), &needed, inputs));
        if !(2..=MAX_INPUTS).contains(&inputs.len()) {
            return wrong(format!("2 to {MAX_INPUTS} inputs"));
        }
        let mut extents = inputs[0].shape.extents().to_vec();
        let fits = |input: &&TensorType| {
            let other = input.shape.extents();
            other.len() == extents.len()
                && (0..other.len()).all(|i| i == axis || other[i] == extents[i])
                && input.kind == Kind::Activation
        };
        if axis >= extents.len() || !inputs.iter().all(fits) {
            return wrong(format!("the same extents everywhere but on axis {axis}"));
        }
        extents[axis] = inputs.iter().map(|i| i.shape.extents()[axis]).sum();
        Ok(Signature {
            out: TensorType::activation(Shape::new(extents)),
            kept: Vec::new(),
            reads_inputs: vec![false; inputs.len()],
            reads_out: false,
            differentiable: vec![true; inputs.len()],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
