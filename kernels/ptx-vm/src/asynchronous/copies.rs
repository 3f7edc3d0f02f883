//! `cp.async` of a warp, from its start to the wait for its group.

use std::collections::VecDeque;

use crate::registers::LANES;

/// One `cp.async` of a warp.
#[derive(Debug, Clone)]
pub struct Copy {
    /// Lanes whose copy has not arrived.
    pub mask: u32,
    /// Bytes a lane writes: 4, 8 or 16.
    pub width: u8,
    /// Bytes of them that it reads; the others become zero.
    pub read: [u8; LANES],
    /// Where in global memory.
    pub from: [u64; LANES],
    /// Where in shared memory.
    pub to: [u64; LANES],
    /// What was read at the start, in halves of 8 bytes.
    pub values: [[u64; LANES]; 2],
    /// Number of the instruction.
    pub pc: u32,
    /// For each lane the group the copy belongs to.
    group: [u32; LANES],
    /// Place in the order of the warp's copies.
    sequence: u64,
}

/// All that a warp has started and not waited for, in order.
#[derive(Debug, Default)]
pub struct Copies {
    pending: VecDeque<Box<Copy>>,
    /// For each lane the number of the group that is open.
    open: [u32; LANES],
    started: u64,
    /// Copies that have arrived, to be used again.
    #[expect(clippy::vec_box, reason = "a copy takes 1.2 KB and goes from one list to the other")]
    spare: Vec<Box<Copy>>,
}

impl Copies {
    pub(super) fn clear(&mut self) {
        self.spare.extend(self.pending.drain(..));
        self.open = [0; LANES];
    }

    /// A copy to be filled in and started: its contents are those of an older one.
    pub fn fresh(&mut self) -> Box<Copy> {
        self.spare.pop().unwrap_or_else(|| {
            Box::new(Copy {
                mask: 0,
                width: 0,
                read: [0; LANES],
                from: [0; LANES],
                to: [0; LANES],
                values: [[0; LANES]; 2],
                pc: 0,
                group: [0; LANES],
                sequence: 0,
            })
        })
    }

    /// Starts a copy in the open groups of its lanes.
    pub fn start(&mut self, mut copy: Box<Copy>) {
        self.started += 1;
        copy.group = self.open;
        copy.sequence = self.started;
        self.pending.push_back(copy);
    }

    /// Closes the open groups of the lanes.
    pub fn commit(&mut self, lanes: u32) {
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            self.open[lane] += 1;
        }
    }

    /// How many copies the warp has started so far.
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Takes out the copies that are in all but the last `allowed` closed groups of their lane.
    pub fn arrive_groups(&mut self, lanes: u32, allowed: u32) -> Vec<(u32, Box<Copy>)> {
        let open = self.open;
        self.take(lanes, |copy, lane| copy.group[lane].saturating_add(allowed) < open[lane])
    }

    /// Takes out the copies that were started up to [`Copies::started`] being `last`.
    pub fn arrive_until(&mut self, lanes: u32, last: u64) -> Vec<(u32, Box<Copy>)> {
        self.take(lanes, |copy, _| copy.sequence <= last)
    }

    /// Gives back what was taken, for use again.
    pub fn give_back(&mut self, copies: Vec<(u32, Box<Copy>)>) {
        self.spare.extend(copies.into_iter().map(|(_, copy)| copy));
    }

    /// Takes out those of the lanes for which `due`, in order.
    fn take(&mut self, lanes: u32, due: impl Fn(&Copy, usize) -> bool) -> Vec<(u32, Box<Copy>)> {
        let mut taken = Vec::new();
        for _ in 0..self.pending.len() {
            let Some(mut copy) = self.pending.pop_front() else { break };
            let candidates = copy.mask & lanes;
            let arriving = (0..LANES)
                .filter(|&lane| candidates >> lane & 1 == 1 && due(&copy, lane))
                .fold(0, |lanes, lane| lanes | 1 << lane);
            copy.mask &= !arriving;
            match (arriving, copy.mask) {
                (0, _) => self.pending.push_back(copy),
                (_, 0) => taken.push((arriving, copy)),
                _ => {
                    taken.push((arriving, copy.clone()));
                    self.pending.push_back(copy);
                }
            }
        }
        taken
    }

    /// The instruction whose copy brings the byte at `address`.
    pub(super) fn into(&self, address: u64) -> Option<u32> {
        let brings = |copy: &Copy| {
            let width = u64::from(copy.width);
            (0..LANES).any(|lane| {
                copy.mask >> lane & 1 == 1
                    && (copy.to[lane]..copy.to[lane] + width).contains(&address)
            })
        };
        self.pending.iter().find(|copy| brings(copy)).map(|copy| copy.pc)
    }
}
