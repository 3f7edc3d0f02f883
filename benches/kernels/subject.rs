//! An operation at given shapes, and the numbers it is measured with.

use crformer::op::Op;
use crformer::op::contract::{Signature, TensorType};
use crformer::rng::Philox;

/// An operation, the types of its inputs, and the bound of those that are indices.
#[derive(Clone)]
pub struct Subject {
    pub op: Op,
    pub types: Vec<TensorType>,
    pub signature: Signature,
    indices_below: usize,
}

impl Subject {
    /// # Panics
    /// The operation does not take such inputs.
    pub fn new(op: Op, inputs: &[TensorType], indices_below: usize) -> Self {
        let references: Vec<&TensorType> = inputs.iter().collect();
        let signature = op.operation().signature(&references).expect("inputs that fit");
        Self { op, types: inputs.to_vec(), signature, indices_below }
    }

    /// Draws as many numbers as are asked for. Drawing hundreds of megabytes would take longer than the bench: a
    /// stretch is repeated.
    pub fn normal(&self) -> impl FnMut(usize) -> Vec<f32> {
        let mut reader = Philox::new(1, 1).reader();
        move |len| {
            let stretch: Vec<f32> = (0..len.min(65_537)).map(|_| reader.normal() as f32).collect();
            stretch.iter().copied().cycle().take(len).collect()
        }
    }

    pub fn indices(&self) -> impl FnMut(usize) -> Vec<i32> {
        let mut reader = Philox::new(2, 2).reader();
        let below = self.indices_below;
        move |len| (0..len).map(|_| reader.below(below) as i32).collect()
    }
}
