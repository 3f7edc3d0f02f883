//! Dropout: `out = inp / (1 - rate)` where kept, else 0.
//!
//! `inp` and `out` have one shape. Each element is kept if its random number, uniform in `[0, 1)`,
//! is not below `rate`; or each sample (index of the leading extent) as a whole, which is
//! stochastic depth. Element or sample `i` takes number `i` of the node's stream.
//!
//! Backward: the same of `dout`; the numbers are drawn again, nothing is kept or read.

mod cpu;
mod cuda;

use super::contract::{Kind, Operation, Signature, TensorType, mismatch};
use crate::error::{Error, Result};

/// Input: `inp`.
#[derive(Clone, Debug)]
pub struct Dropout {
    /// Share that is dropped, in `[0, 1)`.
    pub rate: f64,
    /// Whether a sample is kept or dropped as a whole.
    pub per_sample: bool,
}

impl Operation for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature> {
        if !(0.0..1.0).contains(&self.rate) {
            let message = format!("the rate has to be at least 0 and below 1, not {}", self.rate);
            return Err(Error::usage(message).at(self.name()));
        }
        let &[inp] = inputs else { return Err(mismatch(self.name(), "one input", inputs)) };
        if inp.shape.rank() == 0 || inp.kind != Kind::Activation {
            return Err(mismatch(self.name(), "inp [B, ..]", inputs));
        }
        Ok(Signature {
            out: TensorType::activation(inp.shape.clone()),
            kept: Vec::new(),
            reads_inputs: vec![false],
            reads_out: false,
            differentiable: vec![true],
            forward_workspace: 0,
            backward_workspace: 0,
        })
    }
}

impl Dropout {
    /// What the upper 24 bits of a word have to be at least to keep its element: as a fraction of 2^24 they
    /// are not below the rate.
    fn least_word(&self) -> u32 {
        (self.rate * f64::from(1 << 24)).ceil() as u32
    }
}
