//! Sums on the CPU: element by element, `b` from its start again for each repetition.

use super::Add;
use crate::cpu::activation::relu;
use crate::cpu::rows;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;
use crate::write::Write;

impl<S: Scalar> OnCpu<S> for Add {
    fn forward(&self, pass: Forward<'_, S>) {
        let (a, b) = (pass.inputs.real(0), pass.inputs.real(1));
        rows::for_parts(
            pass.out,
            #[inline(always)]
            |range, mut out| {
                let mut a = &a[range.clone()];
                let mut at = range.start % b.len();
                while !out.is_empty() {
                    let len = out.len().min(b.len() - at);
                    let (out_here, out_after) = out.split_at_mut(len);
                    let sums = a[..len].iter().zip(&b[at..]);
                    if self.relu {
                        Write::Set.put_all(out_here, sums.map(|(&a, &b)| a + relu(b)));
                    } else {
                        Write::Set.put_all(out_here, sums.map(|(&a, &b)| a + b));
                    }
                    (out, a, at) = (out_after, &a[len..], 0);
                }
            },
        );
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        // forward: out = a + ..
        if let Some(da) = pass.gradient(0) {
            rows::write_all(da.values, da.write, pass.dout);
        }
        // forward: out = .. + b or .. + relu(b)
        let Some(db) = pass.gradient(1) else { return };
        let (b, period) = (self.relu.then(|| pass.inputs.real(1)), db.values.len());
        rows::for_parts(
            db.values,
            #[inline(always)]
            |range, db_part| {
                let mut write = db.write;
                for dout in pass.dout.chunks_exact(period) {
                    let dout = dout[range.clone()].iter();
                    match b {
                        Some(b) => write.put_all(db_part, dout.zip(&b[range.clone()]).map(masked)),
                        None => write.put_all(db_part, dout.copied()),
                    }
                    write = Write::Add;
                }
            },
        );
    }
}

/// The gradient where ReLU lets it through.
#[inline(always)]
fn masked<S: Scalar>((&dout, &b): (&S, &S)) -> S {
    if b > S::ZERO { dout } else { S::ZERO }
}
