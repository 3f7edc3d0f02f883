//! A part of one axis: `out` is `inp` at `start .. start + len` on `axis`.
//!
//! Backward: `dinp` is `dout` there and 0 elsewhere.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::error::Result;
use crate::shape::Shape;

/// Input: `inp`.
#[derive(Clone, Debug)]
pub struct Slice {
    pub axis: usize,
    pub start: usize,
    pub len: usize,
}

impl Operation for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let &Self { axis, start, len } = self;
        let wrong = |needed: String| Err(mismatch(self.name(), &needed, inputs));
        let &[inp] = inputs else { return wrong("one input".to_owned()) };
        let mut extents = inp.shape.extents().to_vec();
        let end = start.checked_add(len);
        let inside = |&extent: &usize| end.is_some_and(|end| end <= extent) && len > 0;
        if !extents.get(axis).is_some_and(inside) || inp.kind != Kind::Activation {
            return wrong(format!("{len} (at least 1) elements from {start} on, on axis {axis}"));
        }
        extents[axis] = len;
        Ok(Signature {
            out: TensorType::activation(Shape::new(extents)),
            kept: Vec::new(),
            reads_inputs: vec![false],
            reads_out: false,
            differentiable: vec![true],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
