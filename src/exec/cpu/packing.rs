//! Weights stored the way the CPU's products read them fastest, where nothing else reads them.

use crate::cpu::product::{Matrix, Panels};
use crate::graph::{Graph, Origin, TensorId};
use crate::op::Op;
use crate::op::linear::Linear;
use crate::scalar::Scalar;
use crate::shape::Shape;

/// Turns every linear layer to a packed weight, where the weight is a parameter that only linear
/// layers read as a weight. Says for each tensor whether it is stored packed.
pub(super) fn pack_weights(graph: &mut Graph) -> Vec<bool> {
    let mut packed: Vec<bool> = graph.tensors().map(|(id, _)| is_weight(graph, id)).collect();
    for index in 0..graph.nodes().len() {
        let node = &graph.nodes()[index];
        let Op::Linear(linear) = &node.op else { continue };
        let weight = node.inputs[1].index();
        if packed[weight] {
            let turned = Linear { packed: true, ..linear.clone() };
            packed[weight] = graph.replace(index, turned).is_ok();
        }
    }
    packed
}

fn is_weight(graph: &Graph, tensor: TensorId) -> bool {
    let parameter = matches!(graph.get(tensor).origin, Origin::Parameter(_));
    let mut readers = graph.nodes().iter().filter(|node| node.inputs.contains(&tensor)).peekable();
    let as_weight = |node: &crate::graph::Node| {
        let linear = matches!(node.op, Op::Linear(_));
        linear && node.inputs.iter().position(|&input| input == tensor) == Some(1)
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
