//! Small graphs drawn at random, and a machine that runs them.

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::error::Result;
use crformer::exec::cuda::CudaSession;
use crformer::exec::{Machine, Session, Slot, Values, ValuesMut};
use crformer::graph::{Graph, Initial, Origin, Reverse, TensorId};
use crformer::op::Op;
use crformer::op::add::Add;
use crformer::op::concat::Concat;
use crformer::op::contract::{Kind, TensorType};
use crformer::op::layer_norm::LayerNorm;
use crformer::op::linear::Linear;
use crformer::op::masked_mean::MaskedMean;
use crformer::op::mlp::{Mlp, Residual};
use crformer::op::mse::Mse;
use crformer::op::scaled_add::ScaledAdd;
use crformer::op::slice::Slice;
use crformer::op::transpose::Transpose;
use crformer::op::weighted_sum::WeightedSum;
use crformer::rng::{Philox, Reader};

/// Batch, rows, channels of every tensor that a drawn graph passes on.
const SHAPE: [usize; 3] = [2, 5, 6];

/// A graph with the scalar at its end.
pub struct Small {
    pub graph: Graph,
    pub loss: TensorId,
}

/// Adds one operation after the other, of tensors picked at random: some are used several times,
/// some never, and so are parameters.
struct Draw {
    graph: Graph,
    reader: Reader,
    tensors: Vec<TensorId>,
    weights: Vec<TensorId>,
    /// Of operations, the last of which is the MLP.
    kinds: usize,
}

const KINDS: usize = 10;

impl Draw {
    fn parameter<const N: usize>(&mut self, extents: [usize; N]) -> Result<TensorId> {
        let name = format!("parameter{}", self.graph.tensors().count());
        self.graph.parameter(&name, extents.into(), Initial::Constant(0.0))
    }

    fn add(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId> {
        let name = format!("node{}", self.graph.nodes().len());
        self.graph.add(&name, op, inputs)
    }

    /// Two tensors, not the same.
    fn pair(&mut self) -> (TensorId, TensorId) {
        let count = self.tensors.len();
        let first = self.reader.below(count);
        let second = (first + 1 + self.reader.below(count - 1)) % count;
        (self.tensors[first], self.tensors[second])
    }

    /// A matrix of weights, new or used before.
    fn weight(&mut self) -> Result<TensorId> {
        let at = self.reader.below(self.weights.len() + 2);
        if let Some(&weight) = self.weights.get(at) {
            return Ok(weight);
        }
        let weight = self.parameter([SHAPE[2], SHAPE[2]])?;
        self.weights.push(weight);
        Ok(weight)
    }

    fn operation(&mut self) -> Result<TensorId> {
        let [_, rows, channels] = SHAPE;
        let (a, b) = self.pair();
        match self.reader.below(self.kinds) {
            0 => {
                let inputs = [a, self.weight()?, self.parameter([channels])?];
                let activation = Activation::Gelu;
                self.add(Linear { activation, bias: true, ..Linear::default() }, &inputs)
            }
            1 => {
                let inputs = [a, self.weight()?, b];
                self.add(Linear { residual: true, ..Linear::default() }, &inputs)
            }
            2 => {
                let inputs = [a, self.parameter([channels])?, self.parameter([channels])?];
                self.add(LayerNorm { eps: 1e-5 }, &inputs)
            }
            3 => self.add(Add { relu: false }, &[a, b]),
            4 => {
                let alpha = self.parameter([1])?;
                self.add(ScaledAdd {}, &[alpha, a, b])
            }
            5 => {
                let norm = [self.parameter([channels])?, self.parameter([channels])?];
                let inputs = [a, self.weight()?, norm[0], norm[1], b];
                let drop = Some(Dropout { rate: 0.3, per_sample: false });
                let (norm, residual) = (Some(1e-5), true);
                self.add(Linear { norm, residual, drop, ..Linear::default() }, &inputs)
            }
            6 => {
                let both = self.add(Concat { axis: 1 }, &[a, b])?;
                let start = self.reader.below(rows + 1);
                self.add(Slice { axis: 1, start, len: rows }, &[both])
            }
            7 => {
                let transposed = self.add(Transpose {}, &[a])?;
                self.add(Transpose {}, &[transposed])
            }
            8 => {
                let positions = self.parameter([rows, channels])?;
                self.add(Add { relu: false }, &[a, positions])
            }
            _ => self.mlp(a, b),
        }
    }

    /// Onto what it begins with or onto another tensor, its weights shared with linear layers now and then.
    fn mlp(&mut self, inp: TensorId, other: TensorId) -> Result<TensorId> {
        let channels = SHAPE[2];
        let first = self.weight()?;
        // One weight is one input.
        let second = match self.weight()? {
            second if second == first => self.parameter([channels, channels])?,
            second => second,
        };
        let bias1 = self.parameter([channels])?;
        let mut inputs = vec![inp, first, bias1, second, self.parameter([channels])?];
        inputs.extend([self.parameter([channels])?, self.parameter([channels])?]);
        let residual = if self.reader.below(2) == 0 { Residual::Inp } else { Residual::Other };
        inputs.extend((residual == Residual::Other).then_some(other));
        let op = Mlp {
            norm: Some(1e-5),
            activation: Activation::Gelu,
            residual,
            drop: Some(Dropout { rate: 0.3, per_sample: false }),
            keep_hidden: self.reader.below(2) == 0,
            packed: false,
        };
        self.add(op, &inputs)
    }

    fn loss(&mut self) -> Result<TensorId> {
        let mask = self.graph.input("mask", TensorType::index([SHAPE[0], 3]))?;
        let last = self.tensors[self.tensors.len() - 1];
        let (a, b) = self.pair();
        let words = self.add(MaskedMean { masked: true }, &[last, mask])?;
        let queries = self.add(MaskedMean { masked: false }, &[a])?;
        let others = self.add(MaskedMean { masked: false }, &[b])?;
        let first = self.add(Mse { detach_second: false }, &[words, queries])?;
        let second = self.add(Mse { detach_second: false }, &[words, others])?;
        self.add(WeightedSum { weights: vec![1.0, 0.3] }, &[first, second])
    }
}

/// A graph of about `operations` nodes and the nodes of its loss.
pub fn draw(seed: u64, operations: usize) -> Small {
    draw_of(KINDS, seed, operations)
}

/// The same without MLPs: each has a norm, behind which a large number is an ordinary one.
pub fn draw_without_mlps(seed: u64, operations: usize) -> Small {
    draw_of(KINDS - 1, seed, operations)
}

fn draw_of(kinds: usize, seed: u64, operations: usize) -> Small {
    let build = || -> Result<Small> {
        let mut graph = Graph::new();
        let inp = graph.input("inp", TensorType::activation(SHAPE))?;
        let len: usize = SHAPE.iter().product();
        let fixed = (0..len).map(|i| (i as f64).sin()).collect();
        let fixed = graph.constant("fixed", SHAPE.into(), fixed)?;
        let reader = Philox::new(seed, 9).reader();
        let tensors = vec![inp, fixed];
        let mut draw = Draw { graph, reader, tensors, weights: Vec::new(), kinds };
        for _ in 0..operations {
            let out = draw.operation()?;
            draw.tensors.push(out);
        }
        let loss = draw.loss()?;
        draw.graph.output(loss);
        Ok(Small { graph: draw.graph, loss })
    };
    build().expect("a graph that fits together")
}

/// A session with random numbers in all that can be written.
pub struct Run(pub Box<dyn Session>);

impl Run {
    /// With a backward pass for all that `wanted` accepts by name.
    pub fn new(machine: &Machine, small: &Small, wanted: impl Fn(&str) -> bool) -> Self {
        let reverse = Reverse::new(&small.graph, small.loss, wanted).expect("a scalar");
        Self::of(machine, small, Some(reverse))
    }

    /// Without a backward pass.
    pub fn forward_only(machine: &Machine, small: &Small) -> Self {
        Self::of(machine, small, None)
    }

    fn of(machine: &Machine, small: &Small, reverse: Option<Reverse>) -> Self {
        let session = machine.session(small.graph.clone(), reverse, 17);
        let mut run = Self(session.unwrap_or_else(|e| panic!("{e}")));
        run.fill(1);
        run
    }

    /// On a CUDA device, recording passes or not.
    pub fn on_device(machine: &Machine, small: &Small, records: bool) -> Self {
        let Machine::Cuda { device, precision } = machine else { panic!("a CUDA device") };
        let reverse = Reverse::new(&small.graph, small.loss, |_| true).expect("a scalar");
        let (device, graph) = (device.clone(), small.graph.clone());
        let session = CudaSession::new(device, graph, Some(reverse), 17, *precision);
        let mut session = session.unwrap_or_else(|e| panic!("{e}"));
        session.record(records);
        let mut run = Self(Box::new(session));
        run.fill(1);
        run
    }

    /// Parameters always with the same numbers, inputs with those of `batch`.
    pub fn fill(&mut self, batch: u64) {
        self.fill_with(batch, true);
    }

    pub fn fill_inputs(&mut self, batch: u64) {
        self.fill_with(batch, false);
    }

    fn fill_with(&mut self, batch: u64, parameters: bool) {
        let graph = self.0.graph().clone();
        for (id, tensor) in graph.tensors() {
            let stream = id.index() as u64;
            let (scale, mut reader) = match tensor.origin {
                Origin::Parameter(_) if parameters => (0.5, Philox::new(100, stream).reader()),
                Origin::Input => (1.0, Philox::new(batch, stream).reader()),
                _ => continue,
            };
            let len = tensor.of.shape.len();
            if tensor.of.kind == Kind::Index {
                let values: Vec<i32> = (0..len).map(|_| reader.below(2) as i32).collect();
                self.0.write(id, Slot::Value, Values::Index(&values)).expect("a mask");
            } else {
                let values: Vec<f64> = (0..len).map(|_| scale * reader.normal()).collect();
                self.write(id, &values);
            }
        }
    }

    pub fn write(&mut self, tensor: TensorId, values: &[f64]) {
        self.0.write(tensor, Slot::Value, Values::F64(values)).expect("as many numbers");
    }

    pub fn read(&self, tensor: TensorId, slot: Slot) -> Vec<f64> {
        let mut values = vec![f64::NAN; self.0.graph().shape(tensor).len()];
        self.0.read(tensor, slot, ValuesMut::F64(&mut values)).expect("numbers that are kept");
        values
    }

    /// The loss of a forward pass.
    pub fn loss(&mut self, loss: TensorId) -> f64 {
        self.0.forward(STEP).unwrap_or_else(|e| panic!("{e}"));
        self.read(loss, Slot::Value)[0]
    }

    /// Both passes, then the gradients of all trained parameters, one after the other.
    pub fn gradients(&mut self) -> Vec<f64> {
        self.0.forward(STEP).unwrap_or_else(|e| panic!("{e}"));
        self.0.backward(STEP, 1.0, false).unwrap_or_else(|e| panic!("{e}"));
        self.all_gradients()
    }

    /// The values of all trained parameters, one after the other.
    pub fn parameters(&self) -> Vec<f64> {
        self.of_trained(Slot::Value)
    }

    pub fn all_gradients(&self) -> Vec<f64> {
        self.of_trained(Slot::Gradient)
    }

    /// A number of every element of all trained parameters, one after the other.
    pub fn of_trained(&self, slot: Slot) -> Vec<f64> {
        let trained = self.0.trained().to_vec();
        trained.iter().flat_map(|&t| self.read(t, slot)).collect()
    }

    /// The gradient of `loss` with respect to `tensor` by differences of fourth order.
    pub fn differences(&mut self, loss: TensorId, tensor: TensorId) -> Vec<f64> {
        let values = self.read(tensor, Slot::Value);
        let mut moved = values.clone();
        let mut gradient = Vec::new();
        for i in 0..values.len() {
            let h = 1e-4 * values[i].abs().max(0.1);
            let mut at = |steps: f64| {
                moved[i] = values[i] + steps * h;
                self.write(tensor, &moved);
                self.loss(loss)
            };
            let (near, far) = (at(1.0) - at(-1.0), at(2.0) - at(-2.0));
            gradient.push((8.0 * near - far) / (12.0 * h));
            moved[i] = values[i];
        }
        self.write(tensor, &values);
        gradient
    }
}

/// The step whose random numbers all passes here use.
pub const STEP: u64 = 3;
