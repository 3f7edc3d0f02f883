//! Where each tensor lies: offsets in one arena, planned from lifetimes.
//!
//! A pass is a list of steps, forward nodes first, backward steps after them. Everything that is
//! written in the arena lives from the step that first writes it to the last that reads it; two
//! things that live at the same time never overlap.

use super::network::{Graph, Origin, TensorId};
use super::reverse::Reverse;
use crate::op::contract::{Kind, TensorType};

/// Offsets are multiples of this many bytes: a cache line, and what vector loads of a GPU want.
const ALIGNMENT: usize = 256;

/// Bytes of one element of each kind on a machine.
#[derive(Clone, Copy, Debug)]
pub struct Widths {
    pub activation: usize,
    pub statistic: usize,
}

/// A piece of the arena, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub offset: usize,
    pub len: usize,
}

/// What lies in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    Value(TensorId),
    Gradient(TensorId),
    /// Kept tensor `.1` of node `.0`.
    Kept(usize, usize),
    ForwardWorkspace(usize),
    BackwardWorkspace(usize),
}

/// A piece of the arena with the steps during which it is in use, both included.
#[derive(Clone, Debug)]
pub struct Resident {
    pub content: Content,
    pub place: Place,
    pub first: usize,
    pub last: usize,
}

/// The arena of a graph. Parameters, their gradients and index tensors do not lie in it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub arena_len: usize,
    pub residents: Vec<Resident>,
    values: Vec<Option<Place>>,
    gradients: Vec<Option<Place>>,
    kept: Vec<Vec<Place>>,
    workspaces: Vec<[Option<Place>; 2]>,
}

impl Plan {
    /// The plan of a machine whose scratch memory is what the signatures say, in activations.
    pub fn new(graph: &Graph, reverse: Option<&Reverse>, widths: Widths) -> Self {
        Self::with_workspaces(graph, reverse, widths, |node| {
            let signature = &graph.nodes()[node].signature;
            [signature.forward_workspace, signature.backward_workspace]
                .map(|len| len * widths.activation)
        })
    }

    /// The same for a machine that says itself how many bytes of scratch memory a node's forward and
    /// backward pass take.
    pub fn with_workspaces(
        graph: &Graph,
        reverse: Option<&Reverse>,
        widths: Widths,
        workspaces: impl Fn(usize) -> [usize; 2],
    ) -> Self {
        let mut residents = Lifetimes::new(graph, reverse, widths).residents(workspaces);
        let arena_len = place(&mut residents);
        let tensors = graph.tensors().count();
        let nodes = graph.nodes().len();
        let mut plan = Self {
            arena_len,
            values: vec![None; tensors],
            gradients: vec![None; tensors],
            kept: vec![Vec::new(); nodes],
            workspaces: vec![[None; 2]; nodes],
            residents: Vec::new(),
        };
        for resident in &residents {
            let place = resident.place;
            match resident.content {
                Content::Value(t) => plan.values[t.index()] = Some(place),
                Content::Gradient(t) => plan.gradients[t.index()] = Some(place),
                Content::Kept(node, _) => plan.kept[node].push(place),
                Content::ForwardWorkspace(node) => plan.workspaces[node][0] = Some(place),
                Content::BackwardWorkspace(node) => plan.workspaces[node][1] = Some(place),
            }
        }
        plan.residents = residents;
        plan
    }

    /// Where a tensor's numbers lie; `None` for parameters and index tensors.
    pub fn value(&self, tensor: TensorId) -> Option<Place> {
        self.values[tensor.index()]
    }

    /// Where the gradient of a tensor that is no parameter lies.
    pub fn gradient(&self, tensor: TensorId) -> Option<Place> {
        self.gradients[tensor.index()]
    }

    /// Where what a node keeps lies; empty without a backward pass.
    pub fn kept(&self, node: usize) -> &[Place] {
        &self.kept[node]
    }

    pub fn forward_workspace(&self, node: usize) -> Option<Place> {
        self.workspaces[node][0]
    }

    pub fn backward_workspace(&self, node: usize) -> Option<Place> {
        self.workspaces[node][1]
    }

    /// The two residents that are alive at the same time and overlap, if the plan is wrong.
    pub fn overlap(&self) -> Option<(&Resident, &Resident)> {
        let mut by_offset: Vec<&Resident> = self.residents.iter().collect();
        by_offset.sort_by_key(|r| r.place.offset);
        for (i, a) in by_offset.iter().enumerate() {
            let end = a.place.offset + a.place.len;
            for b in by_offset[i + 1..].iter().take_while(|b| b.place.offset < end) {
                if a.first <= b.last && b.first <= a.last {
                    return Some((a, b));
                }
            }
        }
        None
    }
}

/// Collects what lies in the arena, and when.
struct Lifetimes<'a> {
    graph: &'a Graph,
    reverse: Option<&'a Reverse>,
    widths: Widths,
    /// The step at which each node's backward pass runs.
    backward_at: Vec<Option<usize>>,
    end: usize,
}

impl<'a> Lifetimes<'a> {
    fn new(graph: &'a Graph, reverse: Option<&'a Reverse>, widths: Widths) -> Self {
        let nodes = graph.nodes().len();
        let mut backward_at = vec![None; nodes];
        for (i, step) in reverse.iter().flat_map(|r| &r.steps).enumerate() {
            backward_at[step.node] = Some(nodes + i);
        }
        let end = nodes + reverse.map_or(0, |r| r.steps.len());
        Self { graph, reverse, widths, backward_at, end }
    }

    fn residents(&self, workspaces: impl Fn(usize) -> [usize; 2]) -> Vec<Resident> {
        let mut residents = Vec::new();
        self.values(&mut residents);
        self.gradients(&mut residents);
        self.of_nodes(&mut residents, workspaces);
        residents.retain(|r| r.place.len > 0);
        residents
    }

    fn values(&self, residents: &mut Vec<Resident>) {
        let mut last = vec![0; self.graph.tensors().count()];
        for (step, node) in self.graph.nodes().iter().enumerate() {
            node.inputs.iter().for_each(|t| last[t.index()] = step);
            last[node.out.index()] = step;
        }
        for (node, at) in self.graph.nodes().iter().zip(&self.backward_at) {
            let Some(at) = *at else { continue };
            let reads = node.inputs.iter().zip(&node.signature.reads_inputs);
            let reads = reads.filter(|(_, reads)| **reads).map(|(t, _)| *t);
            for tensor in reads.chain(node.signature.reads_out.then_some(node.out)) {
                last[tensor.index()] = last[tensor.index()].max(at);
            }
        }
        for (id, tensor) in self.graph.tensors().filter(|(id, _)| self.graph.is_real(*id)) {
            let (first, last) = match tensor.origin {
                Origin::Parameter(_) => continue,
                Origin::Node(node) if !self.is_read_afterwards(id) => (node, last[id.index()]),
                // What is read after the pass stays to the end.
                Origin::Node(node) => (node, self.end),
                // What the caller or the graph wrote stays from before the first step.
                Origin::Input | Origin::Constant(_) => (0, self.end),
            };
            residents.push(self.resident(Content::Value(id), &tensor.of, first, last));
        }
    }

    /// An output; or the loss, at which an update looks.
    fn is_read_afterwards(&self, tensor: TensorId) -> bool {
        self.graph.outputs().contains(&tensor)
            || self.reverse.is_some_and(|reverse| reverse.loss == tensor)
    }

    fn gradients(&self, residents: &mut Vec<Resident>) {
        let Some(reverse) = self.reverse else { return };
        let nodes = self.graph.nodes();
        let mut first = vec![self.end; self.graph.tensors().count()];
        first[reverse.loss.index()] = nodes.len();
        for (i, step) in reverse.steps.iter().enumerate().rev() {
            let inputs = nodes[step.node].inputs.iter().zip(&step.gradients);
            inputs
                .filter(|(_, g)| g.is_some())
                .for_each(|(t, _)| first[t.index()] = nodes.len() + i);
        }
        for (id, tensor) in self.graph.tensors().filter(|(id, _)| reverse.has_gradient(*id)) {
            let last = match tensor.origin {
                Origin::Parameter(_) => continue,
                Origin::Node(node) => self.backward_at[node].unwrap_or(self.end),
                Origin::Input | Origin::Constant(_) => self.end,
            };
            let content = Content::Gradient(id);
            residents.push(self.resident(content, &tensor.of, first[id.index()], last));
        }
    }

    fn of_nodes(&self, residents: &mut Vec<Resident>, workspaces: impl Fn(usize) -> [usize; 2]) {
        for (index, node) in self.graph.nodes().iter().enumerate() {
            let workspace = |content: Content, len: usize, at: usize| {
                let place = Place { offset: 0, len };
                Resident { content, place, first: at, last: at }
            };
            let [forward, backward] = workspaces(index);
            residents.push(workspace(Content::ForwardWorkspace(index), forward, index));
            let Some(at) = self.backward_at[index] else { continue };
            for (i, kept) in node.signature.kept.iter().enumerate() {
                residents.push(self.resident(Content::Kept(index, i), kept, index, at));
            }
            residents.push(workspace(Content::BackwardWorkspace(index), backward, at));
        }
    }

    fn resident(&self, content: Content, of: &TensorType, first: usize, last: usize) -> Resident {
        let width = match of.kind {
            Kind::Activation => self.widths.activation,
            Kind::Statistic => self.widths.statistic,
            Kind::Index => size_of::<i32>(),
        };
        let place = Place { offset: 0, len: of.shape.len() * width };
        Resident { content, place, first, last }
    }
}

/// Gives every resident an offset, the largest first, each the lowest that is free during its
/// life. Returns the arena's length.
fn place(residents: &mut [Resident]) -> usize {
    let mut order: Vec<usize> = (0..residents.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(residents[i].place.len), residents[i].first, i));
    let mut placed: Vec<usize> = Vec::new();
    let mut arena_len = 0;
    for i in order {
        let (first, last) = (residents[i].first, residents[i].last);
        let mut offset = 0;
        for &other in &placed {
            let other = &residents[other];
            let gap_is_large_enough = offset + residents[i].place.len <= other.place.offset;
            if other.first > last || first > other.last {
                continue;
            }
            if gap_is_large_enough {
                break;
            }
            let end = other.place.offset + other.place.len;
            offset = offset.max(end.next_multiple_of(ALIGNMENT));
        }
        residents[i].place.offset = offset;
        arena_len = arena_len.max(offset + residents[i].place.len);
        let at = placed.partition_point(|&p| residents[p].place.offset <= offset);
        placed.insert(at, i);
    }
    arena_len.next_multiple_of(ALIGNMENT)
}
