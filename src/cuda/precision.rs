//! In which format a device keeps activations and computes products.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Format of activations and of the weights that products read. Statistics, biases, parameters of
/// norms and gradients of parameters are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    F32,
    /// bf16 operands, f32 sums.
    Bf16,
}

impl Precision {
    /// Bytes of an activation.
    pub fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        }
    }
}

impl FromStr for Precision {
    type Err = Error;

    /// `f32` or `bf16`.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Precision::F32),
            "bf16" => Ok(Precision::Bf16),
            _ => Err(Error::usage(format!("no precision {name:?}; there are f32 and bf16"))),
        }
    }
}
