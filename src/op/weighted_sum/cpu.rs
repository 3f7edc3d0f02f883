//! Weighted sum of scalars on the CPU.

use super::WeightedSum;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for WeightedSum {
    fn forward(&self, pass: Forward<'_, S>) {
        let weights = self.weights.iter().enumerate();
        pass.out[0] = weights.map(|(i, &w)| S::from_f64(w) * pass.inputs.real(i)[0]).sum();
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        for (i, &weight) in self.weights.iter().enumerate() {
            if let Some(dinput) = pass.gradient(i) {
                dinput.write.put(&mut dinput.values[0], S::from_f64(weight) * pass.dout[0]);
            }
        }
    }
}
