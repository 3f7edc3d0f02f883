//! Both passes of a CUDA session: one node after the other, as launches.

use super::CudaSession;
use super::formats::decode;
use crate::cuda::arguments::Pointer;
use crate::error::Result;
use crate::exec::session::Slot;
use crate::graph::{Node, Origin, Place, Reverse, TensorId};
use crate::op::contract::{Kind, TensorType};
use crate::op::device::{CudaBackward, CudaForward, CudaGradient, CudaInput, CudaRandom};
use crate::write::Write;

impl CudaSession {
    pub(super) fn queue_forward(&self) -> Result<()> {
        (0..self.graph.nodes().len()).try_for_each(|node| self.forward_node(node))
    }

    pub(super) fn queue_backward(&self, reverse: &Reverse, accumulate: bool) -> Result<()> {
        (0..reverse.steps.len()).try_for_each(|at| self.backward_step(reverse, at, accumulate))
    }

    fn forward_node(&self, index: usize) -> Result<()> {
        let node = &self.graph.nodes()[index];
        let (memory, plan) = (&self.memory, &self.memory.plan);
        let pass = CudaForward {
            device: &self.device,
            precision: memory.precision,
            types: self.types(node).collect(),
            inputs: self.inputs(node, |_| true).collect(),
            out: memory.in_arena(plan.value(node.out)),
            kept: plan.kept(index).iter().map(|&place| memory.in_arena(Some(place))).collect(),
            workspace: memory.in_arena(plan.forward_workspace(index)),
            tickets: memory.tickets.pointer(),
            random: self.random(index),
        };
        node.op.on_cuda().forward(&pass).map_err(|e| e.at(self.name(node.out)))
    }

    fn backward_step(&self, reverse: &Reverse, at: usize, accumulate: bool) -> Result<()> {
        let step = &reverse.steps[at];
        let node = &self.graph.nodes()[step.node];
        let (memory, plan) = (&self.memory, &self.memory.plan);
        let gradient = |(&input, write): (&TensorId, &Option<Write>)| {
            let write = (*write)?;
            let (values, of_parameter) = memory.gradient(input)?;
            let write = if of_parameter && accumulate { Write::Add } else { write };
            Some(CudaGradient { values, write })
        };
        let pass = CudaBackward {
            device: &self.device,
            precision: memory.precision,
            types: self.types(node).collect(),
            inputs: self.inputs(node, |i| node.signature.reads_inputs[i]).collect(),
            out: match node.signature.reads_out {
                true => memory.in_arena(plan.value(node.out)),
                false => Pointer::NULL,
            },
            kept: plan.kept(step.node).iter().map(|&place| memory.in_arena(Some(place))).collect(),
            dout: memory.in_arena(plan.gradient(node.out)),
            dinputs: node.inputs.iter().zip(&step.gradients).map(gradient).collect(),
            workspace: memory.in_arena(plan.backward_workspace(step.node)),
            tickets: memory.tickets.pointer(),
            random: self.random(step.node),
        };
        node.op.on_cuda().backward(&pass).map_err(|e| e.at(self.name(node.out)))
    }

    fn types<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a TensorType> {
        node.inputs.iter().map(|&t| self.graph.of(t))
    }

    fn inputs<'a>(
        &'a self,
        node: &'a Node,
        reads: impl Fn(usize) -> bool + 'a,
    ) -> impl Iterator<Item = CudaInput> + 'a {
        node.inputs.iter().enumerate().map(move |(i, &tensor)| match reads(i) {
            true => self.memory.input(tensor, self.graph.of(tensor).kind),
            false => CudaInput { working: Pointer::NULL, full: Pointer::NULL },
        })
    }

    fn random(&self, node: usize) -> CudaRandom {
        CudaRandom { seed: self.seed, node, step: self.memory.step.pointer() }
    }

    fn name(&self, tensor: TensorId) -> &str {
        &self.graph.get(tensor).name
    }

    /// Runs the passes again, launch by launch, and names the first tensor that is not finite.
    pub(super) fn find_not_finite(&mut self, seed: f64) -> Result<Option<String>> {
        self.device.synchronize()?;
        for (id, tensor) in self.graph.tensors() {
            let written =
                !matches!(tensor.origin, Origin::Node(_)) && tensor.of.kind != Kind::Index;
            if written && !self.slot_is_finite(id)? {
                return Ok(Some(format!("{} (before the forward pass)", tensor.name)));
            }
        }
        for (index, node) in self.graph.nodes().iter().enumerate() {
            self.forward_node(index)?;
            let place = self.memory.plan.value(node.out);
            if !self.is_finite(place, self.graph.of(node.out).kind)? {
                return Ok(Some(format!("{} (forward pass)", self.name(node.out))));
            }
        }
        let Some(reverse) = &self.reverse else { return Ok(None) };
        self.seed_gradient(reverse.loss, seed)?;
        for at in 0..reverse.steps.len() {
            self.backward_step(reverse, at, false)?;
            let step = &reverse.steps[at];
            let inputs = self.graph.nodes()[step.node].inputs.iter().zip(&step.gradients);
            for (&input, _) in inputs.filter(|(_, write)| write.is_some()) {
                let finite = match self.memory.of_parameter_gradient(input, 0) {
                    Some(_) => self
                        .bytes_of(input, Slot::Gradient)
                        .map(|(bytes, format)| decode(&bytes, format).all(f32::is_finite))?,
                    None => {
                        let place = self.memory.plan.gradient(input);
                        self.is_finite(place, self.graph.of(input).kind)?
                    }
                };
                if !finite {
                    let name = self.name(input);
                    return Ok(Some(format!("gradient of {name} (backward pass)")));
                }
            }
        }
        Ok(None)
    }

    fn slot_is_finite(&self, tensor: TensorId) -> Result<bool> {
        let (bytes, format) = self.bytes_of(tensor, Slot::Value)?;
        Ok(decode(&bytes, format).all(f32::is_finite))
    }

    fn is_finite(&self, place: Option<Place>, kind: Kind) -> Result<bool> {
        let Some(place) = place else { return Ok(true) };
        let mut bytes = vec![0; place.len];
        self.device.download(&self.memory.arena, place.offset, &mut bytes)?;
        Ok(decode(&bytes, self.memory.format(kind)).all(f32::is_finite))
    }
}
