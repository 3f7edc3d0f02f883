//! Backward lists: which gradients are written, and which write sets.

use std::collections::HashSet;

use crformer::graph::{Graph, Initial, Reverse, TensorId};
use crformer::op::add::Add;
use crformer::op::contract::TensorType;
use crformer::op::masked_mean::MaskedMean;
use crformer::op::mse::Mse;
use crformer::op::scaled_add::ScaledAdd;
use crformer::write::Write;

use crate::small::draw;

/// The writes of a tensor's gradient in the order they happen.
fn writes(graph: &Graph, reverse: &Reverse, tensor: TensorId) -> Vec<Write> {
    let of_step = |step: &crformer::graph::BackwardStep| {
        let inputs = graph.nodes()[step.node].inputs.iter().zip(&step.gradients);
        let of_tensor = inputs.filter(|(t, _)| **t == tensor);
        of_tensor.filter_map(|(_, write)| *write).collect::<Vec<_>>()
    };
    reverse.steps.iter().flat_map(of_step).collect()
}

/// `y = x + p`, `z = y + x`, `w = alpha z + x`: `x` is used thrice, `unused` does not reach the loss.
fn example() -> (Graph, TensorId) {
    let mut graph = Graph::new();
    let build = |graph: &mut Graph| {
        let parameter = |graph: &mut Graph, name: &str, extents: [usize; 3]| {
            graph.parameter(name, extents.into(), Initial::Constant(1.0))
        };
        let x = graph.input("x", TensorType::activation([2, 3, 4]))?;
        let p = parameter(graph, "p", [2, 3, 4])?;
        let unused = parameter(graph, "unused", [2, 3, 4])?;
        let alpha = graph.parameter("alpha", [1].into(), Initial::Constant(1.0))?;
        let y = graph.add("y", Add { relu: false }, &[x, p])?;
        graph.add("aside", Add { relu: false }, &[y, unused])?;
        let z = graph.add("z", Add { relu: false }, &[y, x])?;
        let w = graph.add("w", ScaledAdd {}, &[alpha, z, x])?;
        let mean = graph.add("mean", MaskedMean { masked: false }, &[w])?;
        let other = graph.add("other", MaskedMean { masked: false }, &[p])?;
        graph.add("loss", Mse { detach_second: true }, &[mean, other])
    };
    let loss = build(&mut graph).expect("a graph that fits together");
    (graph, loss)
}

fn find(graph: &Graph, name: &str) -> TensorId {
    graph.find(name).expect("a tensor of this name")
}

#[test]
fn the_first_write_sets_and_later_ones_add() {
    let (graph, loss) = example();
    let reverse = Reverse::new(&graph, loss, |_| true).expect("a scalar");
    let of = |name: &str| writes(&graph, &reverse, find(&graph, name));
    assert_eq!(of("x"), [Write::Set, Write::Add, Write::Add]);
    assert_eq!(of("y"), [Write::Set]);
    // The detached side gives none.
    assert_eq!(of("p"), [Write::Set]);
    assert_eq!(of("other"), []);
}

#[test]
fn every_drawn_gradient_is_set_once_and_first() {
    for seed in 0..40 {
        let small = draw(seed, 4 + seed as usize % 13);
        let reverse = Reverse::new(&small.graph, small.loss, |_| true).expect("a scalar");
        for (id, tensor) in small.graph.tensors().filter(|(id, _)| *id != small.loss) {
            let writes = writes(&small.graph, &reverse, id);
            assert_eq!(!writes.is_empty(), reverse.has_gradient(id), "{}", tensor.name);
            let sets = writes.iter().filter(|w| **w == Write::Set).count();
            let first = writes.first().is_none_or(|w| *w == Write::Set);
            assert!(first && sets <= 1, "seed {seed}, {}: {writes:?}", tensor.name);
        }
    }
}

/// Nothing is computed for a tensor that does not reach the loss, or for one that is not wanted.
#[test]
fn only_what_is_wanted_has_a_gradient() {
    let (graph, loss) = example();
    let names = |reverse: &Reverse| -> HashSet<String> {
        let with = graph.tensors().filter(|(id, _)| reverse.has_gradient(*id));
        with.map(|(_, t)| t.name.clone()).collect()
    };
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<HashSet<_>>();
    let all = Reverse::new(&graph, loss, |_| true).expect("a scalar");
    assert_eq!(names(&all), set(&["loss", "mean", "w", "alpha", "z", "x", "y", "p"]));
    let alpha = Reverse::new(&graph, loss, |name| name == "alpha").expect("a scalar");
    assert_eq!(names(&alpha), set(&["loss", "mean", "w", "alpha"]));
    let nodes: Vec<&str> = alpha
        .steps
        .iter()
        .map(|step| graph.get(graph.nodes()[step.node].out).name.as_str())
        .collect();
    assert_eq!(nodes, ["loss", "mean", "w"]);
    let none = Reverse::new(&graph, loss, |_| false).expect("a scalar");
    assert!(none.steps.is_empty() && names(&none).is_empty());
}

#[test]
fn only_a_scalar_has_a_gradient() {
    let (graph, _) = example();
    let error = Reverse::new(&graph, find(&graph, "mean"), |_| true).expect_err("eight numbers");
    assert!(error.to_string().contains("mean is [2, 4]"), "{error}");
}
