//! The graph: tensors, and the operations that make them, in the order they run.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::op::Op;
use crate::op::contract::{Kind, MAX_INPUTS, MAX_KEPT, Signature, TensorType};
use crate::op::mlp::Mlp;
use crate::shape::Shape;

/// A tensor of one graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub(super) usize);

impl TensorId {
    /// Its place in the graph's list of tensors.
    pub fn index(self) -> usize {
        self.0
    }
}

/// How a new parameter's numbers are drawn (`model.md`'s initial values).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initial {
    Constant(f64),
    Normal {
        std: f64,
    },
    /// Cut at two standard deviations.
    TruncatedNormal {
        std: f64,
    },
}

/// Where a tensor's numbers come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// Written by the caller before each pass.
    Input,
    /// Fixed numbers that belong to the graph, such as positions.
    Constant(Vec<f64>),
    /// Learned numbers.
    Parameter(Initial),
    /// Made by the node of this index.
    Node(usize),
}

/// A tensor: what it is called, what it is, where it comes from.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub name: String,
    pub of: TensorType,
    pub origin: Origin,
}

/// One operation in its place.
#[derive(Clone, Debug)]
pub struct Node {
    pub op: Op,
    pub inputs: Vec<TensorId>,
    pub out: TensorId,
    pub signature: Signature,
}

/// A static graph for one configuration and batch size: nodes in the order they run.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
    outputs: Vec<TensorId>,
    names: HashMap<String, TensorId>,
}

impl Graph {
    pub fn new() -> Self {
        Self::default()
    }

    /// Numbers that the caller writes before each pass.
    pub fn input(&mut self, name: &str, of: TensorType) -> Result<TensorId> {
        self.tensor(name, of, Origin::Input)
    }

    /// Fixed numbers.
    pub fn constant(&mut self, name: &str, shape: Shape, values: Vec<f64>) -> Result<TensorId> {
        if values.len() != shape.len() {
            let found = values.len();
            return Err(Error::usage(format!("constant {name} {shape} was given {found} numbers")));
        }
        self.tensor(name, TensorType::activation(shape), Origin::Constant(values))
    }

    /// A learned tensor.
    pub fn parameter(&mut self, name: &str, shape: Shape, initial: Initial) -> Result<TensorId> {
        self.tensor(name, TensorType::activation(shape), Origin::Parameter(initial))
    }

    /// Adds an operation and names its output `name`.
    ///
    /// # Errors
    /// Inputs that the operation cannot take; a tensor twice among inputs that can have gradients
    /// (each gradient has one place to be written to).
    pub fn add(&mut self, name: &str, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId> {
        let op = op.into();
        let types: Vec<&TensorType> = inputs.iter().map(|&t| self.of(t)).collect();
        let signature = op.operation().signature(&types).map_err(|e| e.at(name))?;
        debug_assert!(inputs.len() <= MAX_INPUTS && signature.kept.len() <= MAX_KEPT);
        let differentiable = |i: usize| signature.differentiable[i];
        for (i, input) in inputs.iter().enumerate().filter(|(i, _)| differentiable(*i)) {
            if inputs[..i].iter().enumerate().any(|(j, t)| t == input && differentiable(j)) {
                let twice = &self.tensors[input.0].name;
                return Err(Error::usage(format!("{name}: {twice} is its input twice")));
            }
        }
        let out = self.tensor(name, signature.out.clone(), Origin::Node(self.nodes.len()))?;
        self.nodes.push(Node { op, inputs: inputs.to_vec(), out, signature });
        Ok(out)
    }

    /// Keeps a tensor's numbers readable after a pass.
    pub fn output(&mut self, tensor: TensorId) {
        if !self.outputs.contains(&tensor) {
            self.outputs.push(tensor);
        }
    }

    /// Replaces the operation of a node by another form of it that takes the same inputs.
    ///
    /// # Errors
    /// As for [`Graph::add`]; also if the other form's output differs.
    pub fn replace(&mut self, node: usize, op: impl Into<Op>) -> Result<()> {
        let op = op.into();
        let types: Vec<&TensorType> = self.nodes[node].inputs.iter().map(|&t| self.of(t)).collect();
        let signature = op.operation().signature(&types)?;
        if signature.out != self.nodes[node].signature.out {
            let name = &self.get(self.nodes[node].out).name;
            return Err(Error::usage(format!("{name}: {} gives another output", signature.out)));
        }
        self.nodes[node] = Node { op, signature, ..self.nodes[node].clone() };
        Ok(())
    }

    /// Turns every MLP to one whose backward pass makes what is hidden again, instead of keeping it.
    ///
    /// # Errors
    /// None that a graph can have whose nodes were added.
    pub fn recompute_hidden(&mut self) -> Result<()> {
        for node in 0..self.nodes.len() {
            if let Op::Mlp(mlp) = &self.nodes[node].op {
                let again = Mlp { keep_hidden: false, ..mlp.clone() };
                self.replace(node, again)?;
            }
        }
        Ok(())
    }

    fn tensor(&mut self, name: &str, of: TensorType, origin: Origin) -> Result<TensorId> {
        let id = TensorId(self.tensors.len());
        if self.names.insert(name.to_owned(), id).is_some() {
            return Err(Error::usage(format!("two tensors are called {name}")));
        }
        self.tensors.push(Tensor { name: name.to_owned(), of, origin });
        Ok(id)
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    pub fn tensors(&self) -> impl Iterator<Item = (TensorId, &Tensor)> {
        self.tensors.iter().enumerate().map(|(i, t)| (TensorId(i), t))
    }

    /// Parameters in the order they were added.
    pub fn parameters(&self) -> impl Iterator<Item = (TensorId, &Tensor)> {
        self.tensors().filter(|(_, t)| matches!(t.origin, Origin::Parameter(_)))
    }

    pub fn get(&self, tensor: TensorId) -> &Tensor {
        &self.tensors[tensor.0]
    }

    pub fn of(&self, tensor: TensorId) -> &TensorType {
        &self.tensors[tensor.0].of
    }

    pub fn shape(&self, tensor: TensorId) -> &Shape {
        &self.of(tensor).shape
    }

    /// The tensor of a name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.names.get(name).copied()
    }

    pub(super) fn is_real(&self, tensor: TensorId) -> bool {
        self.of(tensor).kind != Kind::Index
    }
}
