//! Two linear layers with an activation between them, as one node.

use super::linear::{Parameters, Residual, Source};
use super::norm::Normed;
use super::scope::Scope;
use crate::cpu::activation::Activation;
use crate::cpu::dropout::Dropout;
use crate::error::Result;
use crate::graph::TensorId;
use crate::op::mlp::{self, Mlp};

/// `residual + drop(fc2(activation(fc1(inp))))`, called `mlp`, parameters `mlp.fc1`, `mlp.fc2`.
pub fn mlp(
    scope: &mut Scope,
    inp: impl Into<Source>,
    hidden: usize,
    activation: Activation,
    residual: Residual,
) -> Result<TensorId> {
    let mut scope = scope.child("mlp");
    let source = inp.into();
    let (inp, outputs) = (source.tensor(), scope.channels(residual.to));
    let channels = scope.channels(inp);
    let first = Parameters::new(&mut scope.child("fc1"), channels, hidden)?;
    let second = Parameters::new(&mut scope.child("fc2"), hidden, outputs)?;
    let (norm, of_norm) = match source {
        Source::Tensor(_) => (None, None),
        Source::Normed(Normed { weight, bias, eps, .. }) => (Some(eps), Some([weight, bias])),
    };
    let (of_residual, other) = match residual.to == inp {
        true => (mlp::Residual::Inp, None),
        false => (mlp::Residual::Other, Some(residual.to)),
    };
    let Residual { drop: rate, per_sample, .. } = residual;
    let op = Mlp {
        norm,
        activation,
        residual: of_residual,
        drop: (rate > 0.0).then_some(Dropout { rate, per_sample }),
        keep_hidden: true,
        packed: false,
    };
    let parameters = [first, second].map(|Parameters { weight, bias }| [Some(weight), bias]);
    let inputs = std::iter::once(inp).chain(parameters.into_iter().flatten().flatten());
    let inputs = inputs.chain(of_norm.into_iter().flatten()).chain(other);
    scope.add("", op, &inputs.collect::<Vec<_>>())
}
