//! A warp's turn: all that an instruction can see and change while it runs.

use crate::block::Block;
use crate::launch::Launch;
use crate::registers::Registers;

/// What happens after an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// On to the next.
    Next,
    /// The lanes go to the instruction with this number.
    Jump(u32),
    /// Each lane goes where [`Turn::targets`] says.
    JumpEach,
    /// The lanes are done with the kernel.
    Exit,
    /// Again, once the other lanes of this member mask have come here.
    Converge(u32),
    /// The lanes have arrived at this barrier of the block and wait; `resume` runs the instruction again afterwards.
    Barrier { id: u8, resume: bool },
    /// On to the next, but other warps first: the lanes are polling for something.
    Poll,
    /// The same instruction again, other warps first.
    PollAgain,
}

/// What the running split of a warp sees.
pub struct Turn<'a> {
    pub registers: &'a mut Registers,
    pub block: &'a mut Block,
    pub launch: &'a Launch<'a>,
    /// Number of the warp in its block.
    pub warp: u32,
    /// Lanes that have not exited.
    pub live: u32,
    /// Number of the running instruction.
    pub pc: u32,
    /// Instructions the warp has run.
    pub instructions: u64,
    /// Set when a barrier has let the lanes go and the instruction runs again; its result (`bar.red`).
    pub resumed: Option<crate::barrier::Gathered>,
    /// For [`Flow::JumpEach`].
    pub targets: [u32; 32],
}

impl Turn<'_> {
    /// Linear number in the block of the warp's first thread.
    pub fn first_thread(&self) -> u32 {
        self.warp * 32
    }
}
