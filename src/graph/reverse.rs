//! The backward list of a graph: which nodes' backward passes run, which gradients they write, and
//! whether each write sets or adds.

use super::network::{Graph, Origin, TensorId};
use crate::error::{Error, Result};
use crate::write::Write;

/// One backward pass: of which node, and for each of its inputs the write of its gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct BackwardStep {
    pub node: usize,
    /// One for each input; `None` where no gradient is wanted.
    pub gradients: Vec<Option<Write>>,
}

/// The backward list of one scalar with respect to the wanted parameters.
#[derive(Clone, Debug)]
pub struct Reverse {
    pub loss: TensorId,
    pub steps: Vec<BackwardStep>,
    /// For each tensor of the graph, whether it has a gradient.
    has_gradient: Vec<bool>,
}

impl Reverse {
    /// Derives the backward list of `loss`, a scalar, for the tensors that `wanted` accepts by
    /// name: parameters, and inputs where a test asks for their gradients.
    ///
    /// A tensor has a gradient if the loss depends on it and it depends on a wanted tensor. Nodes
    /// are visited from the last to the first, so the first visited writer of a gradient sets it
    /// and later ones add.
    pub fn new(graph: &Graph, loss: TensorId, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        if graph.shape(loss).len() != 1 {
            let (name, shape) = (&graph.get(loss).name, graph.shape(loss));
            return Err(Error::usage(format!("only a scalar has a gradient, {name} is {shape}")));
        }
        let depends = depends_on_wanted(graph, wanted);
        let mut written = vec![false; depends.len()];
        written[loss.index()] = depends[loss.index()];
        let mut steps = Vec::new();
        for (index, node) in graph.nodes().iter().enumerate().rev() {
            if !written[node.out.index()] {
                continue;
            }
            let write = |(i, input): (usize, &TensorId)| {
                let wants = node.signature.differentiable[i] && depends[input.index()];
                wants.then(|| match std::mem::replace(&mut written[input.index()], true) {
                    false => Write::Set,
                    true => Write::Add,
                })
            };
            let gradients = node.inputs.iter().enumerate().map(write).collect();
            steps.push(BackwardStep { node: index, gradients });
        }
        Ok(Self { loss, steps, has_gradient: written })
    }

    /// Whether `tensor` has a gradient.
    pub fn has_gradient(&self, tensor: TensorId) -> bool {
        self.has_gradient[tensor.index()]
    }
}

/// For each tensor, whether its numbers depend on a wanted one in a way that can be differentiated.
fn depends_on_wanted(graph: &Graph, wanted: impl Fn(&str) -> bool) -> Vec<bool> {
    let leaf = |tensor: TensorId| {
        let tensor_is = graph.get(tensor);
        let learned = matches!(tensor_is.origin, Origin::Parameter(_) | Origin::Input);
        learned && graph.is_real(tensor) && wanted(&tensor_is.name)
    };
    let mut depends: Vec<bool> = graph.tensors().map(|(id, _)| leaf(id)).collect();
    for node in graph.nodes() {
        let inputs = node.inputs.iter().zip(&node.signature.differentiable);
        depends[node.out.index()] = inputs.into_iter().any(|(t, &d)| d && depends[t.index()]);
    }
    depends
}
