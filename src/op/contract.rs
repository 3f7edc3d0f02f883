//! What every operation says of itself and does: the traits, without default methods, and what
//! their methods are given.

use std::fmt;

use arrayvec::ArrayVec;

use crate::error::{Error, Result};
use crate::rng::Philox;
use crate::scalar::Scalar;
use crate::shape::Shape;
use crate::write::Write;

/// The most inputs an operation takes.
pub const MAX_INPUTS: usize = 8;
/// The most tensors an operation keeps for its backward pass.
pub const MAX_KEPT: usize = 4;

/// What a tensor's numbers are, which decides how a machine stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Maps, tokens, weights: the machine's working precision.
    Activation,
    /// Means, log-sums, losses: never less than f32.
    Statistic,
    /// Token ids and 0/1 masks: `i32`.
    Index,
}

/// Shape and kind of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorType {
    pub shape: Shape,
    pub kind: Kind,
}

impl TensorType {
    pub fn activation(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), kind: Kind::Activation }
    }
    pub fn statistic(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), kind: Kind::Statistic }
    }
    pub fn index(shape: impl Into<Shape>) -> Self {
        Self { shape: shape.into(), kind: Kind::Index }
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Index => write!(f, "index {}", self.shape),
            _ => write!(f, "{}", self.shape),
        }
    }
}

/// What an operation makes of its inputs, and what its backward pass needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    pub out: TensorType,
    /// Tensors that forward leaves for backward, besides inputs and output.
    pub kept: Vec<TensorType>,
    /// Which inputs the backward pass reads.
    pub reads_inputs: Vec<bool>,
    /// Whether the backward pass reads the output.
    pub reads_out: bool,
    /// Which inputs can have a gradient.
    pub differentiable: Vec<bool>,
    /// Elements of scratch memory for the duration of one pass.
    pub forward_workspace: usize,
    pub backward_workspace: usize,
}

/// What an operation is, on every machine.
pub trait Operation: fmt::Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// Checks the inputs' types and says what comes out.
    fn signature(&self, inputs: &[&TensorType]) -> Result<Signature>;
}

/// An operation on the CPU: both directions.
pub trait OnCpu<S: Scalar>: Operation {
    fn forward(&self, pass: Forward<'_, S>);

    /// Writes the gradient of every input that one is asked for.
    fn backward(&self, pass: Backward<'_, S>);
}

/// The numbers of an input.
#[derive(Clone, Copy, Debug)]
pub enum Operand<'a, S> {
    Real(&'a [S]),
    Index(&'a [i32]),
    /// Not declared to be read by this pass.
    Unread,
}

/// The inputs of a pass, with their types.
#[derive(Clone, Debug)]
pub struct Inputs<'a, S> {
    pub types: ArrayVec<&'a TensorType, MAX_INPUTS>,
    pub operands: ArrayVec<Operand<'a, S>, MAX_INPUTS>,
}

impl<'a, S> Inputs<'a, S> {
    pub fn shape(&self, i: usize) -> &'a Shape {
        &self.types[i].shape
    }

    /// The numbers of input `i`. That the pass may read it follows from the signature, so a wrong
    /// call is a mistake in the operation.
    pub fn real(&self, i: usize) -> &'a [S] {
        match self.operands[i] {
            Operand::Real(values) => values,
            _ => panic!("input {i} is not a real tensor that this pass reads"),
        }
    }

    pub fn indices(&self, i: usize) -> &'a [i32] {
        match self.operands[i] {
            Operand::Index(values) => values,
            _ => panic!("input {i} is not an index tensor that this pass reads"),
        }
    }
}

/// What a forward pass is given.
#[derive(Debug)]
pub struct Forward<'a, S> {
    pub inputs: Inputs<'a, S>,
    pub out: &'a mut [S],
    /// Empty if no backward pass will follow.
    pub kept: ArrayVec<&'a mut [S], MAX_KEPT>,
    pub workspace: &'a mut [S],
    /// This node's stream of random numbers in this step.
    pub random: Philox,
}

/// A gradient to be written.
#[derive(Debug)]
pub struct Gradient<'a, S> {
    pub values: &'a mut [S],
    pub write: Write,
}

/// What a backward pass is given.
#[derive(Debug)]
pub struct Backward<'a, S> {
    pub inputs: Inputs<'a, S>,
    /// Empty if the signature does not say that it is read.
    pub out: &'a [S],
    pub kept: ArrayVec<&'a [S], MAX_KEPT>,
    pub dout: &'a [S],
    /// One for each input; `None` where no gradient is wanted.
    pub dinputs: ArrayVec<Option<Gradient<'a, S>>, MAX_INPUTS>,
    pub workspace: &'a mut [S],
    /// The same stream as in the forward pass.
    pub random: Philox,
}

impl<'a, S> Backward<'a, S> {
    /// Takes the gradient of input `i` out, if it is wanted.
    pub fn gradient(&mut self, i: usize) -> Option<Gradient<'a, S>> {
        self.dinputs.get_mut(i).and_then(Option::take)
    }

    /// The same of an input that there may not be, in two parts.
    pub fn wanted(&mut self, i: Option<usize>) -> Option<(&'a mut [S], Write)> {
        i.and_then(|i| self.gradient(i)).map(|Gradient { values, write }| (values, write))
    }
}

/// Says that `operation` cannot take its inputs: what it needs and what it was given.
pub fn mismatch(operation: &str, needed: &str, inputs: &[&TensorType]) -> Error {
    let found: Vec<String> = inputs.iter().map(ToString::to_string).collect();
    Error::usage(format!("{operation} needs {needed}, but its inputs are {}", found.join(", ")))
}
