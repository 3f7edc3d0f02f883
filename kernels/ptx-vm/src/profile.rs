//! What a launch did, instruction by instruction.

/// Counts of one host thread, or of a whole launch once they are added.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// For each instruction of the kernel how often a warp ran it.
    pub executed: Vec<u64>,
    /// For each instruction the lanes that took part, summed.
    pub lanes: Vec<u64>,
}

impl Profile {
    pub fn new(instructions: usize) -> Self {
        Self { executed: vec![0; instructions], lanes: vec![0; instructions] }
    }

    #[inline(always)]
    pub fn count(&mut self, pc: u32, mask: u32) {
        self.executed[pc as usize] += 1;
        self.lanes[pc as usize] += u64::from(mask.count_ones());
    }

    pub fn total(&self) -> u64 {
        self.executed.iter().sum()
    }

    pub fn add(&mut self, other: &Profile) {
        for (sum, value) in self.executed.iter_mut().zip(&other.executed) {
            *sum += value;
        }
        for (sum, value) in self.lanes.iter_mut().zip(&other.lanes) {
            *sum += value;
        }
    }
}
