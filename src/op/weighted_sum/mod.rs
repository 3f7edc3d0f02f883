//! Weighted sum of scalars, such as the losses of the total: `out = sum of weights[i] inputs[i]`.
//!
//! Every input and `out` are statistics `[1]`. Backward: `dinputs[i] = weights[i] dout`.

mod cpu;
mod cuda;

use super::contract::{MAX_INPUTS, Operation, Signature, TensorType, mismatch};
use crate::error::{Error, Result};

/// Inputs: one scalar for each weight.
#[derive(Clone, Debug)]
pub struct WeightedSum {
    pub weights: Vec<f64>,
}

impl Operation for WeightedSum {
    fn name(&self) -> &'static str {
        "weighted_sum"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        let count = self.weights.len();
        let scalar = TensorType::statistic([1]);
        if !(1..=MAX_INPUTS).contains(&count) || !self.weights.iter().all(|w| w.is_finite()) {
            let message = format!("needs 1 to {MAX_INPUTS} finite weights, not {:?}", self.weights);
            return Err(Error::usage(message).at(self.name()));
        }
        if inputs.len() != count || inputs.iter().any(|&i| *i != scalar) {
            let needed = format!("{count} statistics [1], one for each weight");
            return Err(mismatch(self.name(), &needed, inputs));
        }
        Ok(Signature {
            out: scalar,
            kept: Vec::new(),
            reads_inputs: vec![false; count],
            reads_out: false,
            differentiable: vec![true; count],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}
