//! Stream capture: work is recorded with its order instead of run, under CUDA's rules about what may meet what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::ThreadId;

use crate::driver::operation::Operation;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;

/// How much a capture forbids to others (`CUstreamCaptureMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Calls that could disturb a capture fail in every thread.
    Global,
    /// They fail in the thread that captures.
    ThreadLocal,
    Relaxed,
}

impl Mode {
    /// # Errors
    /// `INVALID_VALUE`: no such mode.
    pub fn from_code(code: u32) -> Answer<Self> {
        match code {
            0 => Ok(Mode::Global),
            1 => Ok(Mode::ThreadLocal),
            2 => Ok(Mode::Relaxed),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    pub fn code(self) -> u32 {
        match self {
            Mode::Global => 0,
            Mode::ThreadLocal => 1,
            Mode::Relaxed => 2,
        }
    }
}

/// One recorded piece of work and the pieces before it.
#[derive(Clone)]
pub struct Node {
    pub operation: Operation,
    pub after: Vec<usize>,
}

/// A capture that goes on.
pub struct Capture {
    pub origin: Handle,
    pub mode: Mode,
    pub thread: ThreadId,
    pub nodes: Vec<Node>,
    /// Something forbidden happened; nothing but the end is possible.
    pub invalid: bool,
    /// For each stream that takes part the nodes its next piece comes after.
    pub frontiers: BTreeMap<Handle, Vec<usize>>,
}

impl Capture {
    pub fn new(origin: Handle, mode: Mode, thread: ThreadId) -> Self {
        let frontiers = BTreeMap::from([(origin, Vec::new())]);
        Self { origin, mode, thread, nodes: Vec::new(), invalid: false, frontiers }
    }

    /// Records work of one of its streams.
    pub fn push(&mut self, stream: Handle, operation: Operation) {
        let frontier = self.frontiers.entry(stream).or_default();
        let node = Node { operation, after: std::mem::take(frontier) };
        frontier.push(self.nodes.len());
        self.nodes.push(node);
    }

    /// Records a whole graph as work of one of its streams.
    pub fn push_graph(&mut self, stream: Handle, nodes: &[Node]) {
        let first = self.nodes.len();
        let frontier = self.frontiers.entry(stream).or_default();
        for node in nodes {
            let after = match node.after.is_empty() {
                true => frontier.clone(),
                false => node.after.iter().map(|n| n + first).collect(),
            };
            self.nodes.push(Node { operation: node.operation.clone(), after });
        }
        if !nodes.is_empty() {
            *frontier = sinks(nodes).into_iter().map(|n| n + first).collect();
        }
    }

    /// From here on `stream` comes after `nodes` too; it takes part if it did not.
    pub fn join(&mut self, stream: Handle, nodes: &[usize]) {
        let frontier = self.frontiers.entry(stream).or_default();
        frontier
            .extend(nodes.iter().filter(|n| !frontier.contains(n)).copied().collect::<Vec<_>>());
    }

    /// Whether another stream than the origin has work that nothing of the origin comes after.
    pub fn has_unjoined_work(&self) -> bool {
        let origin = self.frontiers.get(&self.origin).cloned().unwrap_or_default();
        let (mut reached, mut open) = (BTreeSet::new(), origin);
        while let Some(node) = open.pop() {
            if reached.insert(node) {
                open.extend(self.nodes[node].after.iter().copied());
            }
        }
        self.frontiers.values().flatten().any(|node| !reached.contains(node))
    }
}

/// Nodes nothing comes after.
pub fn sinks(nodes: &[Node]) -> Vec<usize> {
    let inner: BTreeSet<usize> = nodes.iter().flat_map(|n| n.after.iter().copied()).collect();
    (0..nodes.len()).filter(|n| !inner.contains(n)).collect()
}

/// A finished recording.
pub struct Graph {
    pub context: Handle,
    pub nodes: Arc<Vec<Node>>,
    /// Handles of the nodes, for callers who list them.
    pub handles: Vec<Handle>,
}

/// A recording ready to be replayed.
pub struct Executable {
    pub context: Handle,
    pub nodes: Arc<Vec<Node>>,
    /// Work of the last replay: the next one comes after it.
    pub last: Vec<u64>,
}
