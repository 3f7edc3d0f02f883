//! What every machine offers: write, forward, backward, update, read.

use crate::error::Result;
use crate::graph::{Graph, TensorId};
use crate::optim::adamw::{Rate, Update};

/// Numbers to write.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    F32(&'a [f32]),
    F64(&'a [f64]),
    Index(&'a [i32]),
}

/// Room for numbers to read.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
}

/// Which of the numbers that belong to a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    Value,
    Gradient,
    /// Of a parameter that is trained.
    FirstMoment,
    SecondMoment,
}

/// A graph on a machine. All shapes, lifetimes and memory were settled when it was made; a pass
/// only walks the list.
pub trait Session {
    fn graph(&self) -> &Graph;

    /// Writes an input, or any number of a parameter.
    ///
    /// # Errors
    /// A tensor that is not to be written, or another number of elements than it has.
    fn write(&mut self, tensor: TensorId, slot: Slot, values: Values) -> Result<()>;

    /// Reads an output, an input, or any number of a parameter.
    ///
    /// # Errors
    /// A tensor whose numbers are not kept, or another number of elements than it has.
    fn read(&self, tensor: TensorId, slot: Slot, values: ValuesMut) -> Result<()>;

    /// Runs the graph; `step` keys the random numbers of dropout.
    ///
    /// # Errors
    /// The machine failed.
    fn forward(&mut self, step: u64) -> Result<()>;

    /// Runs the backward list with `dloss = seed`. `accumulate` adds to the parameters' gradients
    /// instead of setting them.
    ///
    /// # Errors
    /// The machine failed.
    fn backward(&mut self, step: u64, seed: f64, accumulate: bool) -> Result<()>;

    /// Changes every trained parameter; one rate each, in the order of `trained()`. Changes nothing
    /// if the loss or the norm of the gradients is not finite.
    ///
    /// # Errors
    /// The machine failed.
    fn update(&mut self, update: &Update, rates: &[Rate]) -> Result<()>;

    /// The Euclidean norm of the gradients of all trained parameters, as the last update saw it.
    ///
    /// # Errors
    /// The machine failed.
    fn gradient_norm(&self) -> Result<f64>;

    /// Parameters that have a gradient, in the graph's order.
    fn trained(&self) -> &[TensorId];

    /// Runs the passes of `step` again, looking at each result: the name of the first tensor that
    /// is not finite, with the passes it was made in.
    ///
    /// # Errors
    /// The machine failed.
    fn first_not_finite(&mut self, step: u64, seed: f64) -> Result<Option<String>>;

    /// Bytes this session holds: arena, parameters, gradients, moments.
    fn memory(&self) -> usize;
}
