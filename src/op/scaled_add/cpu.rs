//! Sum with a learned scale on the CPU.

use super::ScaledAdd;
use crate::cpu::rows;
use crate::cpu::sum::{dot, total};
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for ScaledAdd {
    fn forward(&self, pass: Forward<'_, S>) {
        let (alpha, a, b) = (pass.inputs.real(0)[0], pass.inputs.real(1), pass.inputs.real(2));
        rows::for_parts(
            pass.out,
            #[inline(always)]
            |range, out| {
                let ab = a[range.clone()].iter().zip(&b[range]);
                Write::Set.put_all(out, ab.map(|(&a, &b)| alpha * a + b));
            },
        );
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let (alpha, a, dout) = (pass.inputs.real(0)[0], pass.inputs.real(1), pass.dout);
        // forward: out = alpha a + ..
        if let Some(dalpha) = pass.gradient(0) {
            let sum = total(
                dout.len(),
                pass.workspace,
                #[inline(always)]
                |range| dot(&dout[range.clone()], &a[range]),
            );
            dalpha.write.put(&mut dalpha.values[0], sum);
        }
        if let Some(da) = pass.gradient(1) {
            rows::for_parts(
                da.values,
                #[inline(always)]
                |range, part| {
                    da.write.put_all(part, dout[range].iter().map(|&d| alpha * d));
                },
            );
        }
        // forward: out = .. + b
        if let Some(db) = pass.gradient(2) {
            rows::write_all(db.values, db.write, dout);
        }
    }
}
