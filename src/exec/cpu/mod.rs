//! The CPU session: one arena, the plan's offsets, both passes as plain loops over the list.

mod arena;
mod inspect;
mod packing;

use arena::Arena;
pub use inspect::NodeTime;
use packing::{pack, pack_weights, packed_len, unpack};

use super::layout::lay_out;
use super::session::{Session, Slot, Values, ValuesMut};
use crate::cpu::scratch;
use crate::error::{Error, Result};
use crate::graph::plan::Widths;
use crate::graph::{Graph, Node, Origin, Place, Plan, Reverse, TensorId};
use crate::op::contract::{Backward, Forward, Gradient, Inputs, Kind, Operand};
use crate::optim::adamw::{Rate, State, Update};
use crate::optim::grad_norm;
use crate::rng::Philox;
use crate::scalar::Scalar;
use crate::write::Write;

/// A graph with its memory on the CPU, computed in `S`.
pub struct CpuSession<S> {
    graph: Graph,
    reverse: Option<Reverse>,
    plan: Plan,
    seed: u64,
    arena: Arena<S>,
    indices: Vec<Vec<i32>>,
    /// Parameters one after the other; where each begins is in `parameter_at`.
    parameters: Arena<S>,
    parameter_at: Vec<Option<usize>>,
    trained: Vec<TensorId>,
    /// Gradients and moments of the trained parameters; where each begins is in `gradient_at`.
    gradients: Arena<S>,
    first_moments: Vec<S>,
    second_moments: Vec<S>,
    gradient_at: Vec<Option<usize>>,
    /// Weights that lie packed in `parameters`.
    packed: Vec<bool>,
    norm_workspace: Vec<S>,
    /// Of the gradients at the last update.
    norm: f64,
}

impl<S: Scalar> CpuSession<S> {
    /// Plans `graph` and takes its memory; `seed` keys the random numbers of dropout. Without
    /// `reverse` nothing is kept for a backward pass.
    pub fn new(mut graph: Graph, reverse: Option<Reverse>, seed: u64) -> Self {
        let packed = match reverse {
            Some(_) => vec![false; graph.tensors().count()],
            None => pack_weights(&mut graph),
        };
        let widths = Widths { activation: size_of::<S>(), statistic: size_of::<S>() };
        let plan = Plan::new(&graph, reverse.as_ref(), widths);
        if let Some((a, b)) = plan.overlap() {
            panic!("the plan puts {a:?} and {b:?} in one place");
        }
        let has_gradient = |t| reverse.as_ref().is_some_and(|r: &Reverse| r.has_gradient(t));
        let stored = |t: TensorId| match packed[t.index()] {
            true => packed_len(graph.shape(t)),
            false => graph.shape(t).len(),
        };
        let (parameter_at, parameters_len) = lay_out(&graph, |t| Some(stored(t)));
        let gradient = |t| has_gradient(t).then(|| graph.shape(t).len());
        let (gradient_at, gradients_len) = lay_out(&graph, gradient);
        let trained: Vec<TensorId> =
            graph.parameters().map(|(id, _)| id).filter(|&id| has_gradient(id)).collect();
        let longest = trained.iter().map(|&t| graph.shape(t).len()).max().unwrap_or(0);
        let indices = graph.tensors().map(|(_, t)| match t.of.kind {
            Kind::Index => vec![0; t.of.shape.len()],
            _ => Vec::new(),
        });
        let mut session = Self {
            indices: indices.collect(),
            arena: Arena::new(plan.arena_len / size_of::<S>()),
            parameters: Arena::new(parameters_len),
            gradients: Arena::new(gradients_len),
            first_moments: vec![S::ZERO; gradients_len],
            second_moments: vec![S::ZERO; gradients_len],
            norm_workspace: vec![S::ZERO; grad_norm::workspace(longest)],
            norm: 0.0,
            graph,
            reverse,
            plan,
            seed,
            parameter_at,
            trained,
            gradient_at,
            packed,
        };
        // What a thread would take at its first operation, so that no pass takes memory.
        rayon::broadcast(|_| scratch::reserve());
        session.write_constants();
        session
    }

    fn write_constants(&mut self) {
        for (id, tensor) in self.graph.tensors() {
            if let (Origin::Constant(values), Some(place)) = (&tensor.origin, self.plan.value(id)) {
                let slots = self.arena.get_mut(place);
                slots.iter_mut().zip(values).for_each(|(slot, &x)| *slot = S::from_f64(x));
            }
        }
    }

    /// The plan this session runs by.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn random(&self, node: usize, step: u64) -> Philox {
        Philox::of_node(self.seed, step, node)
    }

    fn operand(&self, tensor: TensorId) -> Operand<'_, S> {
        match (self.parameter(tensor), self.plan.value(tensor)) {
            (Some(place), _) => Operand::Real(self.parameters.get(place)),
            // SAFETY: the plan gives everything that is alive at one step a place of its own
            // (checked when the session was made), and a pass writes only places of its step.
            (None, Some(place)) => Operand::Real(unsafe { self.arena.shared(place) }),
            (None, None) => Operand::Index(&self.indices[tensor.index()]),
        }
    }

    fn inputs(&self, node: &Node, reads: impl Fn(usize) -> bool) -> Inputs<'_, S> {
        // The types live as long as the session: look them up through `self`, not through `node`.
        let types = node.inputs.iter().map(|&t| self.graph.of(t)).collect();
        let operand = |(i, &t): (usize, &TensorId)| match reads(i) {
            true => self.operand(t),
            false => Operand::Unread,
        };
        Inputs { types, operands: node.inputs.iter().enumerate().map(operand).collect() }
    }

    fn forward_node(&self, index: usize, step: u64) {
        let node = &self.graph.nodes()[index];
        let workspace = self.plan.forward_workspace(index);
        // SAFETY: as in `operand`: output, kept tensors and workspace of one step are places of
        // their own, and no other reference to them exists during the step.
        let exclusive = |place: Place| unsafe { self.arena.exclusive(place) };
        let out = self.plan.value(node.out).map_or(&mut [][..], exclusive);
        node.op.on_cpu::<S>().forward(Forward {
            inputs: self.inputs(node, |_| true),
            out,
            kept: self.plan.kept(index).iter().map(|&p| exclusive(p)).collect(),
            workspace: workspace.map_or(&mut [][..], exclusive),
            random: self.random(index, step),
        });
    }

    fn backward_step(&self, reverse: &Reverse, at: usize, step: u64, accumulate: bool) {
        let backward = &reverse.steps[at];
        let node = &self.graph.nodes()[backward.node];
        // SAFETY: as in `forward_node`; gradients of parameters have places of their own too.
        let exclusive = |place: Place| unsafe { self.arena.exclusive(place) };
        let shared = |place: Place| unsafe { self.arena.shared(place) };
        let gradient = |(&input, write): (&TensorId, &Option<Write>)| {
            let write = (*write)?;
            let write = match self.gradient_at[input.index()] {
                Some(_) if accumulate => Write::Add,
                _ => write,
            };
            let values = match self.parameter_gradient(input) {
                // SAFETY: as above.
                Some(place) => unsafe { self.gradients.exclusive(place) },
                None => exclusive(self.plan.gradient(input)?),
            };
            Some(Gradient { values, write })
        };
        let read_out = node.signature.reads_out.then(|| self.plan.value(node.out)).flatten();
        let workspace = self.plan.backward_workspace(backward.node);
        node.op.on_cpu::<S>().backward(Backward {
            inputs: self.inputs(node, |i| node.signature.reads_inputs[i]),
            out: read_out.map_or(&[][..], shared),
            kept: self.plan.kept(backward.node).iter().map(|&p| shared(p)).collect(),
            dout: self.plan.gradient(node.out).map_or(&[][..], shared),
            dinputs: node.inputs.iter().zip(&backward.gradients).map(gradient).collect(),
            workspace: workspace.map_or(&mut [][..], exclusive),
            random: self.random(backward.node, step),
        });
    }

    /// Where a parameter's numbers lie in `parameters`.
    fn parameter(&self, tensor: TensorId) -> Option<Place> {
        let start = self.parameter_at[tensor.index()]?;
        let shape = self.graph.shape(tensor);
        let len = if self.packed[tensor.index()] { packed_len(shape) } else { shape.len() };
        Some(elements::<S>(start, len))
    }

    fn parameter_gradient(&self, tensor: TensorId) -> Option<Place> {
        let start = self.gradient_at[tensor.index()]?;
        let len = self.graph.shape(tensor).len();
        Some(elements::<S>(start, len))
    }

    fn seed_gradient(&mut self, loss: TensorId, seed: f64) {
        if let Some(place) = self.plan.gradient(loss) {
            self.arena.get_mut(place).fill(S::from_f64(seed));
        }
    }

    fn slot(&self, tensor: TensorId, slot: Slot) -> Result<&[S]> {
        let len = self.graph.shape(tensor).len();
        let moment = self.gradient_at[tensor.index()].map(|start| start..start + len);
        let found = match slot {
            Slot::Value => match self.parameter(tensor) {
                Some(place) => Some(self.parameters.get(place)),
                None => self.kept_value(tensor).map(|p| self.arena.get(p)),
            },
            Slot::Gradient => match self.parameter_gradient(tensor) {
                Some(place) => Some(self.gradients.get(place)),
                None => self.kept_gradient(tensor).map(|p| self.arena.get(p)),
            },
            Slot::FirstMoment => moment.map(|range| &self.first_moments[range]),
            Slot::SecondMoment => moment.map(|range| &self.second_moments[range]),
        };
        found.ok_or_else(|| self.no_such(tensor, slot))
    }

    /// The place of a value that is still there after a pass.
    fn kept_value(&self, tensor: TensorId) -> Option<Place> {
        let kept = match self.graph.get(tensor).origin {
            Origin::Node(_) => self.graph.outputs().contains(&tensor),
            _ => true,
        };
        self.plan.value(tensor).filter(|_| kept)
    }

    fn kept_gradient(&self, tensor: TensorId) -> Option<Place> {
        let input = self.graph.get(tensor).origin == Origin::Input;
        self.plan.gradient(tensor).filter(|_| input)
    }

    fn no_such(&self, tensor: TensorId, slot: Slot) -> Error {
        let name = &self.graph.get(tensor).name;
        Error::usage(format!("tensor {name} has no {slot:?} that outlives a pass"))
    }

    fn wrong_length(&self, tensor: TensorId, found: usize) -> Error {
        let tensor = self.graph.get(tensor);
        let (name, of) = (&tensor.name, &tensor.of);
        Error::usage(format!("tensor {name} {of} cannot be exchanged for {found} numbers"))
    }
}

impl<S: Scalar> Session for CpuSession<S> {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn write(&mut self, tensor: TensorId, slot: Slot, values: Values) -> Result<()> {
        let len = self.graph.shape(tensor).len();
        let found = match values {
            Values::F32(v) => v.len(),
            Values::F64(v) => v.len(),
            Values::Index(v) => v.len(),
        };
        let indices = matches!(values, Values::Index(_));
        if found != len || indices != (self.graph.of(tensor).kind == Kind::Index) {
            return Err(self.wrong_length(tensor, found));
        }
        let parameter = self.parameter(tensor);
        let moment = self.gradient_at[tensor.index()];
        let writable = match (slot, parameter, moment, &self.graph.get(tensor).origin) {
            (Slot::Value, Some(place), _, _) => Some(self.parameters.get_mut(place)),
            (Slot::FirstMoment, _, Some(at), _) => Some(&mut self.first_moments[at..at + len]),
            (Slot::SecondMoment, _, Some(at), _) => Some(&mut self.second_moments[at..at + len]),
            (Slot::Value, None, _, Origin::Input) => match self.plan.value(tensor) {
                Some(place) => Some(self.arena.get_mut(place)),
                None => Some(&mut [][..]),
            },
            _ => None,
        };
        let Some(slots) = writable else { return Err(self.no_such(tensor, slot)) };
        match values {
            Values::F32(v) => {
                slots.iter_mut().zip(v).for_each(|(s, &x)| *s = S::from_f64(f64::from(x)));
            }
            Values::F64(v) => slots.iter_mut().zip(v).for_each(|(s, &x)| *s = S::from_f64(x)),
            Values::Index(v) => self.indices[tensor.index()].copy_from_slice(v),
        }
        if self.packed[tensor.index()] {
            let straight = slots[..len].to_vec();
            pack(self.graph.shape(tensor), &straight, slots);
        }
        Ok(())
    }

    fn read(&self, tensor: TensorId, slot: Slot, values: ValuesMut) -> Result<()> {
        let stored = self.slot(tensor, slot)?;
        let straight;
        let found = match self.packed[tensor.index()] {
            false => stored,
            true => {
                straight = unpack(self.graph.shape(tensor), stored);
                &straight[..]
            }
        };
        let room = match &values {
            ValuesMut::F32(v) => v.len(),
            ValuesMut::F64(v) => v.len(),
        };
        if room != found.len() {
            return Err(self.wrong_length(tensor, room));
        }
        match values {
            ValuesMut::F32(v) => {
                v.iter_mut().zip(found).for_each(|(v, x)| *v = x.to_f64() as f32);
            }
            ValuesMut::F64(v) => v.iter_mut().zip(found).for_each(|(v, x)| *v = x.to_f64()),
        }
        Ok(())
    }

    fn forward(&mut self, step: u64) -> Result<()> {
        on_the_pool(|| {
            (0..self.graph.nodes().len()).for_each(|node| self.forward_node(node, step));
        });
        Ok(())
    }

    fn backward(&mut self, step: u64, seed: f64, accumulate: bool) -> Result<()> {
        let Some(reverse) = self.reverse.take() else { return Ok(()) };
        self.seed_gradient(reverse.loss, seed);
        on_the_pool(|| {
            let steps = 0..reverse.steps.len();
            steps.for_each(|at| self.backward_step(&reverse, at, step, accumulate));
        });
        self.reverse = Some(reverse);
        Ok(())
    }

    fn update(&mut self, update: &Update, rates: &[Rate]) -> Result<()> {
        assert_eq!(rates.len(), self.trained.len(), "one rate for each trained parameter");
        self.norm = self.norm_of_gradients();
        if self.norm.is_finite() && self.loss_is_finite() {
            let scale = grad_norm::clip_scale(self.norm, update.clip);
            on_the_pool(|| self.update_all(update, scale, rates));
        }
        Ok(())
    }

    fn gradient_norm(&self) -> Result<f64> {
        Ok(self.norm)
    }

    fn trained(&self) -> &[TensorId] {
        &self.trained
    }

    fn first_not_finite(&mut self, step: u64, seed: f64) -> Result<Option<String>> {
        Ok(self.find_not_finite(step, seed))
    }

    fn memory(&self) -> usize {
        let numbers = self.parameters.len() + self.gradients.len() + self.arena.len();
        let moments = self.first_moments.len() + self.second_moments.len();
        let indices: usize = self.indices.iter().map(Vec::len).sum();
        (numbers + moments) * size_of::<S>() + indices * size_of::<i32>()
    }
}

impl<S: Scalar> CpuSession<S> {
    fn norm_of_gradients(&mut self) -> f64 {
        let mut sum = 0.0;
        for &tensor in &self.trained {
            if let Some(place) = self.parameter_gradient(tensor) {
                let gradient = self.gradients.get(place);
                sum += grad_norm::sum_of_squares(gradient, &mut self.norm_workspace);
            }
        }
        sum.sqrt()
    }

    fn loss_is_finite(&self) -> bool {
        let loss = self.reverse.as_ref().and_then(|reverse| self.plan.value(reverse.loss));
        loss.is_none_or(|place| self.arena.get(place).iter().all(|x| x.is_finite()))
    }

    fn update_all(&mut self, update: &Update, gradient_scale: f64, rates: &[Rate]) {
        for (&tensor, &rate) in self.trained.iter().zip(rates) {
            let len = self.graph.shape(tensor).len();
            let at = (self.parameter(tensor), self.parameter_gradient(tensor));
            let (Some(parameter), Some(place)) = at else { continue };
            let moments = place.offset / size_of::<S>()..place.offset / size_of::<S>() + len;
            update.apply(
                rate,
                gradient_scale,
                State {
                    value: self.parameters.get_mut(parameter),
                    gradient: self.gradients.get(place),
                    first_moment: &mut self.first_moments[moments.clone()],
                    second_moment: &mut self.second_moments[moments],
                },
            );
        }
    }
}

/// Runs a whole pass on a thread of the pool: entering the pool anew for each loop would cost an
/// allocation and a wake-up each time.
fn on_the_pool(pass: impl FnOnce() + Send) {
    rayon::scope(|_| pass());
}

/// The place of `len` elements from element `start` on.
fn elements<S>(start: usize, len: usize) -> Place {
    Place { offset: start * size_of::<S>(), len: len * size_of::<S>() }
}
