//! Weights stored the way the CPU's products read them fastest, where nothing else reads them.

use crate::cpu::product::{Matrix, Panels};
use crate::graph::{Graph, Node, Origin, TensorId};
use crate::op::Op;
use crate::op::linear::Linear;
use crate::op::mlp::Mlp;
use crate::scalar::Scalar;
use crate::shape::Shape;

/// Turns every linear layer and MLP to packed weights, where all its weights are parameters that nothing reads but
/// such nodes, as weights. Says for each tensor whether it is stored packed.
pub(super) fn pack_weights(graph: &mut Graph) -> Vec<bool> {
    let mut packed: Vec<bool> = graph.tensors().map(|(id, _)| is_weight(graph, id)).collect();
    let weights_of = |node: &Node| -> Vec<usize> {
        weights(&node.op).iter().map(|&input| node.inputs[input].index()).collect()
    };
    // A node has all its weights packed or none, and nodes may share a weight.
    while let Some(mixed) = graph.nodes().iter().map(weights_of).find(|weights| {
        weights.iter().any(|&weight| packed[weight])
            && weights.iter().any(|&weight| !packed[weight])
    }) {
        mixed.into_iter().for_each(|weight| packed[weight] = false);
    }
    for index in 0..graph.nodes().len() {
        let node = &graph.nodes()[index];
        if weights_of(node).into_iter().any(|weight| packed[weight])
            && let Some(turned) = with_packed_weights(&node.op)
        {
            let turned = graph.replace(index, turned);
            turned.expect("packed weights change neither inputs nor output");
        }
    }
    packed
}

/// Which inputs of an operation are weights that can be packed.
fn weights(op: &Op) -> &'static [usize] {
    match op {
        Op::Linear(_) => &[1],
        Op::Mlp(_) => &[1, 3],
        _ => &[],
    }
}

fn with_packed_weights(op: &Op) -> Option<Op> {
    match op {
        Op::Linear(linear) => Some(Linear { packed: true, ..linear.clone() }.into()),
        Op::Mlp(mlp) => Some(Mlp { packed: true, ..mlp.clone() }.into()),
        _ => None,
    }
}

fn is_weight(graph: &Graph, tensor: TensorId) -> bool {
    let parameter = matches!(graph.get(tensor).origin, Origin::Parameter(_));
    let mut readers = graph.nodes().iter().filter(|node| node.inputs.contains(&tensor)).peekable();
    let as_weight = |node: &Node| {
        let mut inputs = node.inputs.iter().enumerate().filter(|(_, input)| **input == tensor);
        inputs.all(|(at, _)| weights(&node.op).contains(&at))
    };
    parameter && readers.peek().is_some() && readers.all(as_weight)
}

/// Elements that a packed weight takes.
pub(super) fn packed_len(weight: &Shape) -> usize {
    let (outputs, inputs) = matrix(weight);
    Panels::<f32>::len(inputs, outputs)
}

/// Packs a weight that lies as its shape says.
pub(super) fn pack<S: Scalar>(weight: &Shape, straight: &[S], packed: &mut [S]) {
    let (outputs, inputs) = matrix(weight);
    Panels::pack(Matrix::new(straight, outputs, inputs).t(), packed);
}

/// The packed weight as its shape says.
pub(super) fn unpack<S: Scalar>(weight: &Shape, packed: &[S]) -> Vec<S> {
    let (outputs, inputs) = matrix(weight);
    let mut straight = vec![S::ZERO; outputs * inputs];
    Panels::new(packed, inputs, outputs).unpack_transposed(&mut straight);
    straight
}

/// Rows and columns of a weight: its first extent, and all others.
fn matrix(shape: &Shape) -> (usize, usize) {
    let rows = shape.extents()[0];
    (rows, shape.len() / rows.max(1))
}
