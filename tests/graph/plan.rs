//! Plans of graphs drawn at random: nothing overlaps, and everything is still there when it is
//! read.

use std::collections::HashMap;

use crformer::graph::plan::{Content, Widths};
use crformer::graph::{Graph, Node, Origin, Plan, Reverse, TensorId};
use crformer::op::contract::Kind;

use crate::small::{Small, draw};

const WIDTHS: Widths = Widths { activation: 4, statistic: 4 };

fn plans(small: &Small) -> [(Plan, Option<Reverse>); 2] {
    let reverse = Reverse::new(&small.graph, small.loss, |_| true).expect("a scalar");
    let training = Plan::new(&small.graph, Some(&reverse), WIDTHS);
    [(training, Some(reverse)), (Plan::new(&small.graph, None, WIDTHS), None)]
}

#[test]
fn nothing_overlaps() {
    for seed in 0..60 {
        let small = draw(seed, 3 + seed as usize % 17);
        for (plan, _) in plans(&small) {
            assert!(plan.overlap().is_none(), "seed {seed}: {:?}", plan.overlap());
        }
    }
}

#[test]
fn memory_is_used_again() {
    for seed in 0..20 {
        for (plan, reverse) in plans(&draw(seed, 20)) {
            let sum: usize = plan.residents.iter().map(|r| r.place.len).sum();
            let what = if reverse.is_some() { "training" } else { "inference" };
            assert!(plan.arena_len < sum, "seed {seed}, {what}: {} of {sum}", plan.arena_len);
        }
    }
}

/// Two values that live at once, moved to one place, are found.
#[test]
fn an_overlap_is_found() {
    let [(mut plan, _), _] = plans(&draw(1, 10));
    let of = |content: Content| matches!(content, Content::Value(_));
    let values: Vec<usize> =
        (0..plan.residents.len()).filter(|&i| of(plan.residents[i].content)).collect();
    let alive = |a: usize, b: usize| {
        let (a, b) = (&plan.residents[a], &plan.residents[b]);
        a.first <= b.last && b.first <= a.last
    };
    let pair = values.windows(2).find(|pair| alive(pair[0], pair[1])).expect("two at once");
    let (a, b) = (pair[0], pair[1]);
    plan.residents[a].place.offset = plan.residents[b].place.offset + 4;
    assert!(plan.overlap().is_some());
}

/// The arena as its owners see it: who wrote each word last.
struct Owners {
    words: Vec<Option<Content>>,
    places: HashMap<Content, std::ops::Range<usize>>,
}

impl Owners {
    fn new(plan: &Plan) -> Self {
        let place = |r: &crformer::graph::plan::Resident| {
            (r.content, r.place.offset / 4..(r.place.offset + r.place.len) / 4)
        };
        Self {
            words: vec![None; plan.arena_len / 4],
            places: plan.residents.iter().map(place).collect(),
        }
    }

    fn write(&mut self, content: Content) {
        if let Some(place) = self.places.get(&content) {
            self.words[place.clone()].fill(Some(content));
        }
    }

    #[track_caller]
    fn read(&self, content: Content) {
        let place = self.places.get(&content).unwrap_or_else(|| panic!("{content:?} has no place"));
        let whole = self.words[place.clone()].iter().all(|owner| *owner == Some(content));
        assert!(whole, "{content:?} was overwritten before it was read");
    }

    fn read_value(&self, graph: &Graph, tensor: TensorId) {
        let parameter = matches!(graph.get(tensor).origin, Origin::Parameter(_));
        if !parameter && graph.of(tensor).kind != Kind::Index {
            self.read(Content::Value(tensor));
        }
    }

    fn forward(&mut self, graph: &Graph, index: usize, node: &Node) {
        node.inputs.iter().for_each(|&t| self.read_value(graph, t));
        self.write(Content::Value(node.out));
        (0..node.signature.kept.len()).for_each(|i| self.write(Content::Kept(index, i)));
        self.write(Content::ForwardWorkspace(index));
        // A workspace over an input would destroy it within the step.
        node.inputs.iter().for_each(|&t| self.read_value(graph, t));
        self.read(Content::Value(node.out));
    }

    fn backward(&mut self, graph: &Graph, index: usize, node: &Node, gradients: &[bool]) {
        let reads = node.inputs.iter().zip(&node.signature.reads_inputs);
        let reads: Vec<TensorId> = reads.filter(|(_, r)| **r).map(|(t, _)| *t).collect();
        let wanted = || node.inputs.iter().zip(gradients).filter(|(_, g)| **g);
        self.write(Content::BackwardWorkspace(index));
        wanted().for_each(|(&t, _)| self.write(Content::Gradient(t)));
        reads.iter().for_each(|&t| self.read_value(graph, t));
        if node.signature.reads_out {
            self.read(Content::Value(node.out));
        }
        (0..node.signature.kept.len()).for_each(|i| self.read(Content::Kept(index, i)));
        self.read(Content::Gradient(node.out));
    }
}

/// Follows both passes word by word. A gradient that is added to has to be there already.
fn follow(small: &Small, plan: &Plan, reverse: Option<&Reverse>) {
    let (graph, mut owners) = (&small.graph, Owners::new(plan));
    for (id, tensor) in graph.tensors() {
        if matches!(tensor.origin, Origin::Input | Origin::Constant(_)) {
            owners.write(Content::Value(id));
        }
    }
    for (index, node) in graph.nodes().iter().enumerate() {
        owners.forward(graph, index, node);
    }
    let Some(reverse) = reverse else { return owners.read_value(graph, small.loss) };
    owners.write(Content::Gradient(reverse.loss));
    for step in &reverse.steps {
        let node = &graph.nodes()[step.node];
        for (&input, write) in node.inputs.iter().zip(&step.gradients) {
            let parameter = matches!(graph.get(input).origin, Origin::Parameter(_));
            if *write == Some(crformer::write::Write::Add) && !parameter {
                owners.read(Content::Gradient(input));
            }
        }
        let gradients: Vec<bool> = step.gradients.iter().map(Option::is_some).collect();
        owners.backward(graph, step.node, node, &gradients);
    }
    // What the caller wrote, and what it asked for, outlives the pass.
    owners.read_value(graph, small.loss);
    for (id, tensor) in graph.tensors() {
        if matches!(tensor.origin, Origin::Input | Origin::Constant(_)) {
            owners.read_value(graph, id);
        }
    }
}

#[test]
fn everything_is_still_there_when_it_is_read() {
    for seed in 100..160 {
        let small = draw(seed, 3 + seed as usize % 17);
        for (plan, reverse) in plans(&small) {
            follow(&small, &plan, reverse.as_ref());
        }
    }
}
