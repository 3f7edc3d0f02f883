//! Layer norm on the CPU.

use super::LayerNorm;
use crate::cpu::norm;
use crate::op::contract::{Backward, Forward, OnCpu};
use crate::scalar::Scalar;

impl<S: Scalar> OnCpu<S> for LayerNorm {
    fn forward(&self, mut pass: Forward<'_, S>) {
        let [inp, weight, bias] = [0, 1, 2].map(|i| pass.inputs.real(i));
        let (rstd, mean) = (pass.kept.pop(), pass.kept.pop());
        let kept = mean.zip(rstd).map(|(mean, rstd)| norm::StatisticsMut { mean, rstd });
        norm::Rows { inp, weight, bias }.normalise(self.eps, kept, pass.out);
    }

    fn backward(&self, mut pass: Backward<'_, S>) {
        let [dinp, dweight, dbias] =
            [0, 1, 2].map(|i| pass.gradient(i).map(|g| (g.values, g.write)));
        let kept = norm::Statistics { mean: pass.kept[0], rstd: pass.kept[1] };
        let (inp, weight) = (pass.inputs.real(0), pass.inputs.real(1));
        let of_rows = norm::Backward { inp, weight, kept, dout: pass.dout };
        of_rows.run(norm::Gradients { dinp, dweight, dbias }, pass.workspace);
    }
}
