//! Mean squared difference on the CPU.

use super::Mse;
use crate::cpu::rows;
use crate::cpu::sum::{sum_with, total};
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for Mse {
    fn forward(&self, pass: Forward<'_, S>) {
        let (a, b) = (pass.inputs.real(0), pass.inputs.real(1));
        let sum = total(
            a.len(),
            pass.workspace,
            #[inline(always)]
            |range| sum_with(&a[range.clone()], &b[range], |a, b| (a - b) * (a - b)),
        );
        pass.out[0] = sum * S::from_f64(1.0 / a.len() as f64);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let (a, b) = (pass.inputs.real(0), pass.inputs.real(1));
        // forward: out = (a - b)^2 / n
        let scale = S::from_f64(2.0 / a.len() as f64) * pass.dout[0];
        for (input, scale) in [(0, scale), (1, -scale)] {
            let Some(gradient) = pass.gradient(input) else { continue };
            rows::for_parts(
                gradient.values,
                #[inline(always)]
                |range, part| {
                    let ab = a[range.clone()].iter().zip(&b[range]);
                    gradient.write.put_all(part, ab.map(|(&a, &b)| scale * (a - b)));
                },
            );
        }
    }
}
