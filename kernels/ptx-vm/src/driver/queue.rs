//! Work that was asked for and has not run: each piece with the pieces it has to come after.

use std::collections::{BTreeMap, BTreeSet};

use crate::driver::capture::Node;
use crate::driver::operation::Operation;
use crate::driver::table::Handle;
use crate::random::Random;

/// Pieces that may wait; then the oldest runs, as a GPU's own queue fills up at about this many.
pub const MOST_WAITING: usize = 1024;

struct Work {
    context: Handle,
    after: Vec<u64>,
    /// Taken by the thread that runs it.
    operation: Option<Operation>,
}

/// All work of all streams, by increasing numbers.
#[derive(Default)]
pub struct Queue {
    waiting: BTreeMap<u64, Work>,
    next: u64,
}

/// What is to be done next so that some work is complete.
pub enum Step {
    /// All of it has run.
    Complete,
    /// What is left is in the hands of other threads.
    Wait,
    Run(u64, Handle, Operation),
}

impl Queue {
    /// Puts work in; numbers in `after` that have run already are of no account.
    pub fn push(&mut self, context: Handle, after: Vec<u64>, operation: Operation) -> u64 {
        self.next += 1;
        let after = after.into_iter().filter(|id| self.waiting.contains_key(id)).collect();
        self.waiting.insert(self.next, Work { context, after, operation: Some(operation) });
        self.next
    }

    /// Puts a graph's nodes in, those without a predecessor after `before`; returns their numbers.
    pub fn push_graph(&mut self, context: Handle, before: &[u64], nodes: &[Node]) -> Vec<u64> {
        let mut ids: Vec<u64> = Vec::with_capacity(nodes.len());
        for node in nodes {
            let after = match node.after.is_empty() {
                true => before.to_vec(),
                false => node.after.iter().map(|&n| ids[n]).collect(),
            };
            ids.push(self.push(context, after, node.operation.clone()));
        }
        ids
    }

    pub fn is_waiting(&self, id: u64) -> bool {
        self.waiting.contains_key(&id)
    }

    /// Pieces that wait or run.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    pub fn oldest(&self) -> Option<u64> {
        self.waiting.keys().next().copied()
    }

    /// All that waits.
    pub fn all(&self) -> Vec<u64> {
        self.waiting.keys().copied().collect()
    }

    /// All that waits of one context.
    pub fn of_context(&self, context: Handle) -> Vec<u64> {
        self.waiting.iter().filter(|(_, work)| work.context == context).map(|(&id, _)| id).collect()
    }

    /// Whether another thread runs a piece at the moment.
    pub fn has_taken(&self) -> bool {
        self.waiting.values().any(|work| work.operation.is_none())
    }

    /// Operations that wait and are in nobody's hands.
    pub fn operations(&self) -> impl Iterator<Item = (u64, &Operation)> {
        self.waiting.iter().filter_map(|(&id, work)| Some((id, work.operation.as_ref()?)))
    }

    /// What could run now of the pieces `targets` need, the oldest first.
    pub fn ready(&self, targets: &[u64]) -> Vec<u64> {
        self.needed(targets).0
    }

    /// What could run now of the pieces `targets` need, and whether any of those is left.
    fn needed(&self, targets: &[u64]) -> (Vec<u64>, bool) {
        let (mut ready, mut seen, mut open) = (Vec::new(), BTreeSet::new(), targets.to_vec());
        while let Some(id) = open.pop() {
            let Some(work) = self.waiting.get(&id) else { continue };
            if !seen.insert(id) {
                continue;
            }
            let reached = open.len();
            open.extend(work.after.iter().filter(|id| self.waiting.contains_key(id)));
            if open.len() == reached && work.operation.is_some() {
                ready.push(id);
            }
        }
        ready.sort_unstable();
        (ready, !seen.is_empty())
    }

    /// Takes one piece that `targets` need and that nothing is left before: the oldest, or with `random` any.
    pub fn step(&mut self, targets: &[u64], random: Option<&mut Random>) -> Step {
        let (ready, left) = self.needed(targets);
        let at = random.map_or(0, |random| random.below(ready.len() as u64) as usize);
        let taken = ready.get(at).and_then(|&id| {
            let work = self.waiting.get_mut(&id)?;
            Some(Step::Run(id, work.context, work.operation.take()?))
        });
        match (taken, left) {
            (Some(step), _) => step,
            (None, true) => Step::Wait,
            (None, false) => Step::Complete,
        }
    }

    /// A piece has run.
    pub fn complete(&mut self, id: u64) {
        self.waiting.remove(&id);
    }
}
