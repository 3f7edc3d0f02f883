//! Who calls whom: which functions cannot be written out in place, because they are called by their address or call
//! themselves.

use crate::syntax::{Initial, Module, Operand, Symbol};

/// The calls of a module's functions.
pub(super) struct Graph {
    /// For each function those it names in calls.
    calls: Vec<Vec<usize>>,
    /// It calls by an address.
    indirect: Vec<bool>,
    /// Its address goes into a register or a variable.
    taken: Vec<bool>,
    /// A chain of calls leads from it to itself, or it lies between two that do so.
    looping: Vec<bool>,
    kernel: Vec<bool>,
}

impl Graph {
    pub fn of(module: &Module<'_>) -> Self {
        let count = module.functions.len();
        let mut graph = Self {
            calls: vec![Vec::new(); count],
            indirect: vec![false; count],
            taken: vec![false; count],
            looping: Vec::new(),
            kernel: module.functions.iter().map(|f| f.entry).collect(),
        };
        for (index, function) in module.functions.iter().enumerate() {
            for instruction in function.body.iter().flat_map(|body| &body.instructions) {
                match (instruction.parts.first(), callee(&instruction.operands)) {
                    (Some(&"call"), Some(Operand::Symbol { symbol: Symbol::Function(i), .. })) => {
                        graph.calls[index].push(*i as usize);
                    }
                    (Some(&"call"), _) => graph.indirect[index] = true,
                    _ => graph.take_all(&instruction.operands),
                }
            }
        }
        for initial in module.variables.iter().flat_map(|variable| &variable.initial) {
            if let Initial::Address { symbol: Symbol::Function(index), .. }
            | Initial::AddressByte { symbol: Symbol::Function(index), .. } = initial
            {
                graph.taken[*index as usize] = true;
            }
        }
        graph.looping = graph.cycles();
        graph
    }

    fn take_all(&mut self, operands: &[Operand<'_>]) {
        for operand in operands {
            match operand {
                Operand::Symbol { symbol: Symbol::Function(index), .. } => {
                    self.taken[*index as usize] = true;
                }
                Operand::Vector(parts) => self.take_all(parts),
                _ => {}
            }
        }
    }

    /// What is left when functions without calls, and functions that nobody calls, are taken away one after the other.
    fn cycles(&self) -> Vec<bool> {
        // One more stands for all functions whose address is taken.
        let any = self.calls.len();
        let mut calls = self.calls.clone();
        calls.push((0..any).filter(|&i| self.taken[i]).collect());
        (0..any).filter(|&i| self.indirect[i]).for_each(|i| calls[i].push(any));
        let mut callers = vec![Vec::new(); calls.len()];
        for (caller, called) in calls.iter().enumerate() {
            called.iter().for_each(|&i: &usize| callers[i].push(caller));
        }
        let mut left = vec![true; calls.len()];
        peel(&calls, &callers, &mut left);
        peel(&callers, &calls, &mut left);
        left
    }

    /// The functions that a kernel needs as routines, in the module's order.
    pub fn routines(&self, kernel: usize) -> Vec<usize> {
        let mut reached = vec![false; self.calls.len()];
        let mut by_address = false;
        let mut todo = vec![kernel];
        while let Some(index) = todo.pop() {
            if std::mem::replace(&mut reached[index], true) {
                continue;
            }
            todo.extend(&self.calls[index]);
            if self.indirect[index] && !std::mem::replace(&mut by_address, true) {
                todo.extend((0..self.taken.len()).filter(|&i| self.taken[i]));
            }
        }
        let needed = |&i: &usize| {
            reached[i] && !self.kernel[i] && (self.looping[i] || by_address && self.taken[i])
        };
        (0..reached.len()).filter(needed).collect()
    }

    /// The function may be entered again before it has returned.
    pub fn is_recursive(&self, index: usize) -> bool {
        self.looping[index]
    }
}

/// Whom a `call` calls.
fn callee<'o, 't>(operands: &'o [Operand<'t>]) -> Option<&'o Operand<'t>> {
    operands.iter().find(|operand| !matches!(operand, Operand::List(_)))
}

/// Takes away what leads to nothing that is left.
fn peel(next: &[Vec<usize>], before: &[Vec<usize>], left: &mut [bool]) {
    let count = |next: &Vec<usize>| next.iter().filter(|&&i| left[i]).count();
    let mut counts: Vec<usize> = next.iter().map(count).collect();
    let mut ends: Vec<usize> = (0..next.len()).filter(|&i| left[i] && counts[i] == 0).collect();
    while let Some(end) = ends.pop() {
        left[end] = false;
        for &other in &before[end] {
            counts[other] -= 1;
            if counts[other] == 0 && left[other] {
                ends.push(other);
            }
        }
    }
}
