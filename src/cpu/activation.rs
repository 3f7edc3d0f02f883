//! ReLU and GELU, and their derivatives.

use crate::scalar::Scalar;

/// What a layer applies to each element of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x/2 (1 + erf(x / sqrt 2))`, the exact form
    Gelu,
}

impl Activation {
    /// As kernels number them.
    pub fn number(self) -> usize {
        match self {
            Activation::None => 0,
            Activation::Relu => 1,
            Activation::Gelu => 2,
        }
    }
}

#[inline(always)]
pub fn relu<S: Scalar>(x: S) -> S {
    if x < S::ZERO { S::ZERO } else { x }
}

#[inline(always)]
pub fn gelu<S: Scalar>(x: S) -> S {
    let half = S::from_f64(0.5) * x;
    half + half * (x * S::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf()
}

/// `x Phi(x)` and its derivative `Phi(x) + x phi(x)` with the normal distribution `Phi` and its density `phi`.
#[inline(always)]
pub fn gelu_both<S: Scalar>(x: S) -> (S, S) {
    let half = S::from_f64(0.5);
    let distribution = half + half * (x * S::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf();
    let density = (-half * x * x).exp() * S::from_f64(0.398_942_280_401_432_7);
    (x * distribution, distribution + x * density)
}
