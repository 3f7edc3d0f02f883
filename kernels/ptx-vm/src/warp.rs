//! A warp: 32 lanes that run together where they can. Lanes that took different branches are splits of the warp, each
//! with its own instruction number; the lowest number runs first, and splits that meet run together again.

use crate::barrier::Gathered;
use crate::block::Block;
use crate::error::Violation;
use crate::launch::Launch;
use crate::program::Guard;
use crate::registers::Registers;
use crate::stack::Stack;
use crate::turn::{Flow, Turn};

/// Backward jumps of one split after which another one has its turn.
const PATIENCE: u32 = 4096;

/// Instructions from one poll to the next within which a warp counts as doing nothing else.
const POLLING_LOOP: u64 = 1024;

/// Lanes that stand at the same instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    pub pc: u32,
    pub mask: u32,
    pub state: State,
    /// Was polling: others first.
    tired: bool,
    /// A barrier let the lanes go and the instruction runs again with this.
    resumed: Option<Gathered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ready,
    /// Waits for the other lanes of this mask at this instruction.
    Converge(u32),
    /// Waits at a barrier of the block.
    Barrier {
        id: u8,
        resume: bool,
    },
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The turn was used up, or something was reached that others may wait for.
    Progress,
    /// The warp polls for something others have to do.
    Polling,
    /// No split can run.
    Blocked,
    /// All lanes have exited.
    Done,
}

/// A rule broken at an instruction.
pub struct Broken {
    pub pc: u32,
    pub mask: u32,
    pub violation: Box<Violation>,
}

pub struct Warp {
    pub index: u32,
    pub registers: Registers,
    /// Lanes that have not exited.
    pub live: u32,
    pub splits: Vec<Split>,
    instructions: u64,
    polled: u64,
    /// Instructions run when a poll last saw what it had seen before.
    polled_at: Option<u64>,
    /// Where lanes go that jump each for itself.
    targets: [u32; 32],
    stacks: [Stack; 32],
}

impl Warp {
    /// A warp whose registers are `registers`; [`Warp::start`] puts it at the first instruction.
    pub fn new(index: u32, registers: Registers) -> Self {
        Self {
            index,
            registers,
            live: 0,
            splits: Vec::with_capacity(32),
            instructions: 0,
            polled: 0,
            polled_at: None,
            targets: [0; 32],
            stacks: Default::default(),
        }
    }

    /// All lanes of `lanes` at the kernel's first instruction.
    pub fn start(&mut self, lanes: u32, entry: u32) {
        self.live = lanes;
        self.instructions = 0;
        self.polled = 0;
        self.polled_at = None;
        self.stacks.iter_mut().for_each(Stack::clear);
        self.splits.clear();
        self.splits.push(Split {
            pc: entry,
            mask: lanes,
            state: State::Ready,
            tired: false,
            resumed: None,
        });
    }

    /// Instructions run since the start, those included that no lane took part in.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    /// Runs at most about `quantum` instructions.
    ///
    /// # Errors
    /// The rule that an instruction broke.
    pub fn run(
        &mut self,
        block: &mut Block,
        launch: &Launch<'_>,
        quantum: u64,
    ) -> Result<Outcome, Broken> {
        let end = self.instructions + quantum;
        loop {
            if self.splits.is_empty() {
                return Ok(Outcome::Done);
            }
            let Some(current) = self.select() else { return Ok(Outcome::Blocked) };
            let polled = self.run_split(current, block, launch, end)?;
            if polled {
                self.polled_at = Some(self.instructions);
            }
            if block.barriers.any_complete() {
                return Ok(Outcome::Progress);
            }
            if self.instructions >= end {
                return Ok(if self.is_polling() { Outcome::Polling } else { Outcome::Progress });
            }
            if polled && self.splits.iter().all(|s| s.tired || s.state != State::Ready) {
                self.splits.iter_mut().for_each(|s| s.tired = false);
                return Ok(Outcome::Polling);
            }
        }
    }

    /// Whether a turn that is over was spent in a loop that polls, between one poll and the next.
    fn is_polling(&self) -> bool {
        self.polled_at.is_some_and(|at| self.instructions - at < POLLING_LOOP)
    }

    /// Merges splits that met, then picks the one to run.
    fn select(&mut self) -> Option<usize> {
        if self.splits.len() > 1 {
            self.merge();
        }
        let ready = |tired: bool| {
            let splits = self.splits.iter().enumerate();
            let ready = splits.filter(|(_, s)| s.state == State::Ready && (tired || !s.tired));
            ready.min_by_key(|(_, s)| s.pc).map(|(i, _)| i)
        };
        ready(false).or_else(|| ready(true))
    }

    fn merge(&mut self) {
        let free = |s: &Split| !matches!(s.state, State::Barrier { .. }) && s.resumed.is_none();
        let mut i = 0;
        while i < self.splits.len() {
            let mut j = i + 1;
            while j < self.splits.len() {
                let (a, b) = (self.splits[i], self.splits[j]);
                if a.pc == b.pc && free(&a) && free(&b) {
                    self.splits.swap_remove(j);
                    let kept = &mut self.splits[i];
                    kept.mask |= b.mask;
                    kept.state = State::Ready;
                    kept.tired = a.tired && b.tired;
                } else {
                    j += 1;
                }
            }
            i += 1;
        }
    }

    /// Runs one split until it waits, exits, meets another, falls behind one, polls, or the turn is over. Tells whether it polled.
    fn run_split(
        &mut self,
        current: usize,
        block: &mut Block,
        launch: &Launch<'_>,
        end: u64,
    ) -> Result<bool, Broken> {
        let Split { pc, mask, resumed, .. } = self.splits[current];
        self.splits[current].tired = false;
        self.splits[current].resumed = None;
        let (alone, code) = (self.splits.len() == 1, &launch.kernel.code[..]);
        let mut backward = 0;
        let mut turn = Turn {
            registers: &mut self.registers,
            block,
            launch,
            warp: self.index,
            live: self.live,
            pc,
            instructions: self.instructions,
            resumed,
            targets: &mut self.targets,
            stacks: &mut self.stacks,
            polled: &mut self.polled,
        };
        let flow = loop {
            let pc = turn.pc;
            let instruction = &code[pc as usize];
            let taking = match instruction.guard {
                Guard::Always => mask,
                Guard::If(slot) => mask & turn.registers.predicate(slot),
                Guard::Unless(slot) => mask & !turn.registers.predicate(slot),
            };
            turn.instructions += 1;
            if taking == 0 {
                turn.pc += 1;
            } else {
                turn.block.profile.count(pc, taking);
                // SAFETY: the decoder picked the copy of the body that this processor can run.
                let flow = unsafe { (instruction.run)(&mut turn, instruction, taking) };
                match flow {
                    Ok(Flow::Next) => turn.pc += 1,
                    Ok(Flow::Jump(target)) if taking == mask => {
                        turn.pc = target;
                        backward += u32::from(target <= pc);
                        // Barriers complete, and turns end, at jumps and waits only.
                        if turn.block.barriers.any_complete()
                            || turn.instructions >= end
                            || (backward > PATIENCE && !alone)
                        {
                            break None;
                        }
                    }
                    Ok(flow) => break Some((taking, flow)),
                    Err(violation) => {
                        self.instructions = turn.instructions;
                        return Err(Broken { pc, mask: taking, violation });
                    }
                }
                turn.resumed = None;
            }
            if !alone && meets(&self.splits, current, turn.pc) {
                break None;
            }
        };
        let pc = turn.pc;
        self.instructions = turn.instructions;
        self.splits[current].pc = pc;
        match flow {
            Some((taking, flow)) => Ok(self.leave(current, taking, flow)),
            None => {
                self.splits[current].tired = backward > PATIENCE;
                Ok(false)
            }
        }
    }

    /// What becomes of a split after anything but [`Flow::Next`]; `taking` are the lanes concerned. Tells whether it polled.
    fn leave(&mut self, current: usize, taking: u32, flow: Flow) -> bool {
        let split = self.splits[current];
        let (pc, rest) = (split.pc, split.mask & !taking);
        let ready = |pc, mask| Split { pc, mask, state: State::Ready, tired: false, resumed: None };
        self.splits.swap_remove(current);
        if rest != 0 {
            self.splits.push(ready(pc + 1, rest));
        }
        let polled = matches!(flow, Flow::Poll | Flow::PollAgain);
        match flow {
            Flow::Next => self.splits.push(ready(pc + 1, taking)),
            Flow::Jump(target) => self.splits.push(ready(target, taking)),
            Flow::JumpEach => {
                for lane in (0..32).filter(|lane| taking >> lane & 1 == 1) {
                    self.splits.push(ready(self.targets[lane], 1 << lane));
                }
            }
            Flow::Exit => self.live &= !taking,
            Flow::Converge(members) => {
                self.splits.push(Split { state: State::Converge(members), ..ready(pc, taking) });
            }
            Flow::Part { done, members } => {
                self.splits.push(ready(pc + 1, done));
                let waiting = ready(pc, taking & !done);
                self.splits.push(Split { state: State::Converge(members), ..waiting });
            }
            Flow::Barrier { id, resume } => {
                self.splits
                    .push(Split { state: State::Barrier { id, resume }, ..ready(pc, taking) });
            }
            Flow::Poll => self.splits.push(Split { tired: true, ..ready(pc + 1, taking) }),
            Flow::PollAgain => self.splits.push(Split { tired: true, ..ready(pc, taking) }),
        }
        if matches!(flow, Flow::Exit) {
            self.exited();
        }
        polled
    }

    /// Lanes that wait for others may go on if those have exited: they are asked again.
    fn exited(&mut self) {
        for split in &mut self.splits {
            if matches!(split.state, State::Converge(_)) {
                split.state = State::Ready;
            }
        }
    }

    /// A barrier of the block is complete: the lanes that wait at it go on.
    pub fn release(&mut self, id: u8, gathered: Gathered) {
        for split in &mut self.splits {
            match split.state {
                State::Barrier { id: at, resume } if at == id => {
                    split.state = State::Ready;
                    match resume {
                        true => split.resumed = Some(gathered),
                        false => split.pc += 1,
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether another split than `current` stands at `pc`, or a ready one before it.
fn meets(splits: &[Split], current: usize, pc: u32) -> bool {
    let mut others = splits.iter().enumerate().filter(|(i, _)| *i != current);
    others.any(|(_, s)| match s.state {
        State::Ready => s.pc == pc || (s.pc < pc && !s.tired),
        State::Converge(_) => s.pc == pc,
        State::Barrier { .. } => false,
    })
}
