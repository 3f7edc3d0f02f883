//! Adam and AdamW (Kingma & Ba 2015; Loshchilov & Hutter 2019), one parameter at a time.
//!
//! `g' = scale g`, for Adam `g' += decay w`; `m = b1 m + (1 - b1) g'`;
//! `v = b2 v + (1 - b2) g'^2`; for AdamW `w *= 1 - lr decay`; then
//! `w -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)`.

use crate::cpu::rows::{self, Parts};
use crate::scalar::Scalar;

/// Which of the two: whether decay goes through the moments or straight to the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Adam: added to the gradient.
    ThroughMoments,
    /// AdamW: taken off the weight.
    Decoupled,
}

/// What all parameters share in one update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    pub decay: Decay,
    pub betas: (f64, f64),
    pub eps: f64,
    /// Number of this update, from 1.
    pub step: u64,
    /// The norm to which longer gradients are scaled down first; 0 for no limit.
    pub clip: f64,
}

/// What differs between parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub learning_rate: f64,
    pub decay: f64,
}

/// A parameter with all that belongs to it, element by element.
pub struct State<'a, S> {
    pub value: &'a mut [S],
    pub gradient: &'a [S],
    pub first_moment: &'a mut [S],
    pub second_moment: &'a mut [S],
}

impl Update {
    /// Changes one parameter and its moments; gradients are multiplied by `gradient_scale` first.
    pub fn apply<S: Scalar>(&self, rate: Rate, gradient_scale: f64, state: State<S>) {
        let c = Coefficients::<S>::new(self, rate, gradient_scale);
        let value = Parts::new(state.value);
        let first = Parts::new(state.first_moment);
        let second = Parts::new(state.second_moment);
        rows::for_chunks(
            state.gradient.len(),
            rows::chunk_rows(1),
            #[inline(always)]
            |range| {
                // SAFETY: chunks do not overlap.
                let (w, m, v) = unsafe {
                    (
                        value.part(range.clone()),
                        first.part(range.clone()),
                        second.part(range.clone()),
                    )
                };
                let g = &state.gradient[range];
                for (((w, m), v), &g) in w.iter_mut().zip(m).zip(v).zip(g) {
                    let g = c.gradient_scale * g + c.coupled_decay * *w;
                    *m = c.beta1 * *m + c.rest1 * g;
                    *v = c.beta2 * *v + c.rest2 * (g * g);
                    let direction = *m / ((*v * c.correction2).sqrt() + c.eps);
                    *w = c.keep * *w - c.step_size * direction;
                }
            },
        );
    }
}

/// The numbers of one update in the machine's precision, computed in f64.
pub(super) struct Coefficients<S> {
    pub(super) gradient_scale: S,
    pub(super) coupled_decay: S,
    pub(super) beta1: S,
    pub(super) rest1: S,
    pub(super) beta2: S,
    pub(super) rest2: S,
    /// `1 / (1 - b2^t)`
    pub(super) correction2: S,
    pub(super) eps: S,
    /// `1 - lr decay`
    pub(super) keep: S,
    /// `lr / (1 - b1^t)`
    pub(super) step_size: S,
}

impl<S: Scalar> Coefficients<S> {
    pub(super) fn new(update: &Update, rate: Rate, gradient_scale: f64) -> Self {
        let s = S::from_f64;
        let (beta1, beta2) = update.betas;
        let correction = |beta: f64| 1.0 - beta.powf(update.step as f64);
        let (coupled, decoupled) = match update.decay {
            Decay::ThroughMoments => (rate.decay, 0.0),
            Decay::Decoupled => (0.0, rate.decay),
        };
        Self {
            gradient_scale: s(gradient_scale),
            coupled_decay: s(coupled),
            beta1: s(beta1),
            rest1: s(1.0 - beta1),
            beta2: s(beta2),
            rest2: s(1.0 - beta2),
            correction2: s(1.0 / correction(beta2)),
            eps: s(update.eps),
            keep: s(1.0 - rate.learning_rate * decoupled),
            step_size: s(rate.learning_rate / correction(beta1)),
        }
    }
}
