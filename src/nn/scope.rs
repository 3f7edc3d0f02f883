//! A place in a model: names what is added to the graph by the checkpoint's dotted names.

use crate::error::Result;
use crate::graph::{Graph, Initial, TensorId};
use crate::op::Op;
use crate::op::contract::TensorType;
use crate::shape::Shape;

/// A graph and the dotted name of the part of the model that is being built.
pub struct Scope<'g> {
    graph: &'g mut Graph,
    name: String,
}

impl<'g> Scope<'g> {
    /// The whole model.
    pub fn root(graph: &'g mut Graph) -> Self {
        Self { graph, name: String::new() }
    }

    /// The part `name` of this part.
    pub fn child(&mut self, name: &str) -> Scope<'_> {
        let name = self.full(name);
        Scope { graph: self.graph, name }
    }

    fn full(&self, name: &str) -> String {
        match (self.name.is_empty(), name.is_empty()) {
            (true, _) => name.to_owned(),
            (false, true) => self.name.clone(),
            (false, false) => format!("{}.{name}", self.name),
        }
    }

    /// A learned tensor.
    pub fn parameter(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        initial: Initial,
    ) -> Result<TensorId> {
        self.graph.parameter(&self.full(name), shape.into(), initial)
    }

    /// Fixed numbers.
    pub fn constant(
        &mut self,
        name: &str,
        shape: impl Into<Shape>,
        values: Vec<f64>,
    ) -> Result<TensorId> {
        self.graph.constant(&self.full(name), shape.into(), values)
    }

    /// Numbers from outside.
    pub fn input(&mut self, name: &str, of: TensorType) -> Result<TensorId> {
        self.graph.input(&self.full(name), of)
    }

    /// An operation, and the name of what it makes.
    pub fn add(&mut self, name: &str, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId> {
        self.graph.add(&self.full(name), op, inputs)
    }

    pub fn extents(&self, tensor: TensorId) -> &[usize] {
        self.graph.shape(tensor).extents()
    }

    pub fn channels(&self, tensor: TensorId) -> usize {
        self.graph.shape(tensor).channels()
    }
}

/// Draws of a linear or conv weight: truncated normal with `std = 1 / sqrt(fan in)`.
pub fn fan_in(inputs: usize) -> Initial {
    Initial::TruncatedNormal { std: 1.0 / (inputs as f64).sqrt() }
}
