//! What the model asks of its operations: every node of its graphs once, in every direction, with how often it is there.

use std::collections::BTreeMap;

use crformer::graph::{Graph, Origin, Reverse};
use crformer::model::{Build, Config, Crformer};
use crformer::op::Op;
use crformer::op::contract::{Signature, TensorType};
use crformer::write::Write;

/// Which pass calls an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Forward, nothing kept.
    Inference,
    /// Forward of a training step: what the backward pass reads is kept.
    Forward,
    Backward,
}

impl Direction {
    pub const ALL: [Direction; 3] = [Direction::Inference, Direction::Forward, Direction::Backward];

    pub fn name(self) -> &'static str {
        match self {
            Direction::Inference => "inference",
            Direction::Forward => "forward",
            Direction::Backward => "backward",
        }
    }
}

/// An input of an operation.
#[derive(Clone, Debug)]
pub struct Input {
    pub of: TensorType,
    pub parameter: bool,
    /// Of the caller's input that indices come from.
    pub name: Option<String>,
}

/// One operation at its inputs, in one direction.
#[derive(Clone, Debug)]
pub struct Work {
    pub op: Op,
    pub direction: Direction,
    pub inputs: Vec<Input>,
    pub signature: Signature,
    /// Of a backward pass: the write of each input's gradient, if one is wanted.
    pub writes: Vec<Option<Write>>,
    /// How often the model has it in this direction.
    pub times: u64,
}

impl Work {
    pub fn name(&self) -> &'static str {
        self.op.operation().name()
    }

    /// Attributes that are set, and the shapes of the inputs: `linear Gelu bias 20x768 3072x768 3072`.
    pub fn label(&self) -> String {
        let mut words = vec![self.name().to_owned()];
        let attributes = attributes(&self.op);
        let inside = attributes.split_once(" { ").and_then(|(_, rest)| rest.rsplit_once(" }"));
        for attribute in inside.iter().flat_map(|(inside, _)| inside.split(", ")) {
            match attribute.split_once(": ") {
                None | Some((_, "" | "false" | "None")) => {}
                Some((name, "true")) => words.push(name.to_owned()),
                Some(("activation", value)) => words.push(value.to_owned()),
                Some((_, value)) if value.starts_with('[') => {}
                Some((name, value)) => words.push(format!("{name} {value}")),
            }
        }
        let shape = |input: &Input| {
            let extents = input.of.shape.extents().iter().map(usize::to_string);
            extents.collect::<Vec<_>>().join("x")
        };
        words.extend(self.inputs.iter().map(shape));
        words.join(" ")
    }

    /// What decides how the operation runs. Numbers with fractions (rates, weights of losses) do not.
    fn key(&self) -> String {
        let inputs: Vec<String> =
            self.inputs.iter().map(|i| format!("{}{}", i.of, i.parameter)).collect();
        format!("{} {inputs:?} {:?} {:?}", attributes(&self.op), self.direction, self.writes)
    }

    pub fn types(&self) -> Vec<&TensorType> {
        self.inputs.iter().map(|input| &input.of).collect()
    }
}

/// An operation with its attributes, those with fractions blank.
fn attributes(op: &Op) -> String {
    let text = format!("{op:?}");
    let words = text.split_inclusive([' ', ',', '[', ']', '(', ')', '}']);
    let blank = |word: &str| match word.contains('.') {
        true => word.replace(|c: char| c.is_ascii_digit() || c == '.', ""),
        false => word.to_owned(),
    };
    words.map(blank).collect()
}

/// The paper's model.
pub fn model(build: Build) -> Crformer {
    Crformer::new(&Config::default(), build).expect("the paper's model")
}

/// All there is to do for one inference and one training step, in the order of the first call.
pub fn of_model(batch: usize) -> Vec<Work> {
    let mut all = Collected::default();
    let inference = model(Build::inference(batch));
    for node in 0..inference.graph.nodes().len() {
        all.add(of_node(&inference.graph, node, Direction::Inference, Vec::new()));
    }
    let training = model(Build::training(batch));
    let loss = training.losses.as_ref().expect("a training graph").total;
    let reverse = Reverse::new(&training.graph, loss, |_| true).expect("a scalar loss");
    for node in 0..training.graph.nodes().len() {
        all.add(of_node(&training.graph, node, Direction::Forward, Vec::new()));
    }
    for step in &reverse.steps {
        let (graph, writes) = (&training.graph, step.gradients.clone());
        all.add(of_node(graph, step.node, Direction::Backward, writes));
    }
    all.works
}

fn of_node(graph: &Graph, node: usize, direction: Direction, writes: Vec<Option<Write>>) -> Work {
    let node = &graph.nodes()[node];
    let input = |&id| {
        let tensor = graph.get(id);
        Input {
            of: tensor.of.clone(),
            parameter: matches!(tensor.origin, Origin::Parameter(_)),
            name: (tensor.origin == Origin::Input).then(|| tensor.name.clone()),
        }
    };
    Work {
        op: node.op.clone(),
        direction,
        inputs: node.inputs.iter().map(input).collect(),
        signature: node.signature.clone(),
        writes,
        times: 1,
    }
}

#[derive(Default)]
struct Collected {
    works: Vec<Work>,
    at: BTreeMap<String, usize>,
}

impl Collected {
    fn add(&mut self, work: Work) {
        match self.at.get(&work.key()) {
            Some(&at) => self.works[at].times += 1,
            None => {
                self.at.insert(work.key(), self.works.len());
                self.works.push(work);
            }
        }
    }
}
