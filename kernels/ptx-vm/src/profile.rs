//! What a launch did, instruction by instruction.

use crate::memory::Counts;

/// Counts of one host thread, or of a whole launch once they are added.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// For each instruction of the kernel how often a warp ran it.
    pub executed: Vec<u64>,
    /// For each instruction the lanes that took part, summed.
    pub lanes: Vec<u64>,
    /// For each instruction the operations of its matrix products, summed: an addition and a multiplication are two.
    pub tensor_operations: Vec<u64>,
    /// For each instruction what its accesses cost; empty where that is not counted.
    pub memory: Vec<Counts>,
}

impl Profile {
    /// For a kernel of so many instructions, memory counted or not.
    pub fn new(instructions: usize, memory: bool) -> Self {
        let memory = vec![Counts::default(); if memory { instructions } else { 0 }];
        Self {
            executed: vec![0; instructions],
            lanes: vec![0; instructions],
            tensor_operations: vec![0; instructions],
            memory,
        }
    }

    #[inline(always)]
    pub fn count(&mut self, pc: u32, mask: u32) {
        self.executed[pc as usize] += 1;
        self.lanes[pc as usize] += u64::from(mask.count_ones());
    }

    /// The instruction multiplied matrices.
    #[inline(always)]
    pub fn tensor(&mut self, pc: u32, operations: u64) {
        self.tensor_operations[pc as usize] += operations;
    }

    /// Warp instructions in all.
    pub fn total(&self) -> u64 {
        self.executed.iter().sum()
    }

    /// Memory of all instructions.
    pub fn total_memory(&self) -> Counts {
        let mut sum = Counts::default();
        self.memory.iter().for_each(|counts| sum.add(counts));
        sum
    }

    pub fn add(&mut self, other: &Profile) {
        let add = |sums: &mut Vec<u64>, values: &[u64]| {
            sums.iter_mut().zip(values).for_each(|(s, v)| *s += v)
        };
        add(&mut self.executed, &other.executed);
        add(&mut self.lanes, &other.lanes);
        add(&mut self.tensor_operations, &other.tensor_operations);
        self.memory.iter_mut().zip(&other.memory).for_each(|(sum, counts)| sum.add(counts));
    }
}
