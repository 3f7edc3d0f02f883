//! Looking at single nodes of a CPU session: how long each takes, which result is not finite first.

use std::time::Instant;

use super::CpuSession;
use crate::exec::session::Slot;
use crate::graph::{Origin, Reverse};
use crate::scalar::Scalar;

/// How long one node took, in seconds.
#[derive(Clone, Debug)]
pub struct NodeTime {
    pub tensor: String,
    pub operation: &'static str,
    pub forward: f64,
    pub backward: f64,
}

impl<S: Scalar> CpuSession<S> {
    /// Runs both passes once and says how long each node took.
    pub fn time_nodes(&mut self, step: u64) -> Vec<NodeTime> {
        let mut times: Vec<NodeTime> = Vec::new();
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let start = Instant::now();
            self.forward_node(index, step);
            times.push(NodeTime {
                tensor: self.graph.get(node.out).name.clone(),
                operation: node.op.operation().name(),
                forward: start.elapsed().as_secs_f64(),
                backward: 0.0,
            });
        }
        let Some(reverse) = self.reverse.take() else { return times };
        self.seed_gradient(reverse.loss, 1.0);
        for (at, backward) in reverse.steps.iter().enumerate() {
            let start = Instant::now();
            self.backward_step(&reverse, at, step, false);
            times[backward.node].backward = start.elapsed().as_secs_f64();
        }
        self.reverse = Some(reverse);
        times
    }

    /// Runs the passes of `step` again and names the first tensor that is not finite.
    pub(super) fn find_not_finite(&mut self, step: u64, seed: f64) -> Option<String> {
        let finite = |values: &[S]| values.iter().all(|x| x.is_finite());
        for (id, tensor) in self.graph.tensors() {
            let written = !matches!(tensor.origin, Origin::Node(_));
            if written && self.slot(id, Slot::Value).is_ok_and(|v| !finite(v)) {
                return Some(format!("{} (before the forward pass)", tensor.name));
            }
        }
        for index in 0..self.graph.nodes().len() {
            self.forward_node(index, step);
            let out = self.graph.nodes()[index].out;
            if self.plan.value(out).is_some_and(|place| !finite(self.arena.get(place))) {
                return Some(format!("{} (forward pass)", self.graph.get(out).name));
            }
        }
        let reverse = self.reverse.take()?;
        self.seed_gradient(reverse.loss, seed);
        let mut found = None;
        for at in 0..reverse.steps.len() {
            self.backward_step(&reverse, at, step, false);
            found = self.gradient_not_finite(&reverse, at);
            if found.is_some() {
                break;
            }
        }
        self.reverse = Some(reverse);
        found
    }

    fn gradient_not_finite(&self, reverse: &Reverse, at: usize) -> Option<String> {
        let step = &reverse.steps[at];
        let inputs = self.graph.nodes()[step.node].inputs.iter().zip(&step.gradients);
        for (&input, _) in inputs.filter(|(_, write)| write.is_some()) {
            let gradient = match self.parameter_gradient(input) {
                Some(place) => self.gradients.get(place),
                None => self.arena.get(self.plan.gradient(input)?),
            };
            if !gradient.iter().all(|x| x.is_finite()) {
                return Some(format!("gradient of {} (backward pass)", self.graph.get(input).name));
            }
        }
        None
    }
}
