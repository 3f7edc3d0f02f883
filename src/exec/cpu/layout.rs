//! Weights stored the way the CPU's products read them fastest, where nothing else reads them.

use crate::graph::{Graph, Origin, TensorId};
use crate::op::Op;
use crate::op::linear::Linear;

/// Turns every linear layer to a transposed weight, where the weight is a parameter that only
/// linear layers read as a weight. Says for each tensor whether it is stored transposed.
pub(super) fn transpose_weights(graph: &mut Graph) -> Vec<bool> {
    let mut transposed: Vec<bool> = graph.tensors().map(|(id, _)| is_weight(graph, id)).collect();
    for index in 0..graph.nodes().len() {
        let node = &graph.nodes()[index];
        let Op::Linear(linear) = &node.op else { continue };
        let weight = node.inputs[1].index();
        if transposed[weight] {
            let turned = Linear { by_input: true, ..linear.clone() };
            transposed[weight] = graph.replace(index, turned).is_ok();
        }
    }
    transposed
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

/// Writes the transposed of the `rows x cols` matrix `from`.
pub(super) fn transpose<T: Copy>(from: &[T], rows: usize, cols: usize, to: &mut [T]) {
    const TILE: usize = 32;
    for first_row in (0..rows).step_by(TILE) {
        for first_col in (0..cols).step_by(TILE) {
            for col in first_col..(first_col + TILE).min(cols) {
                for row in first_row..(first_row + TILE).min(rows) {
                    to[col * rows + row] = from[row * cols + col];
                }
            }
        }
    }
}
