//! A loaded module: every instruction decoded once into a function and the slots it works on.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::error::Checked;
use crate::heap::Heap;
use crate::registers::Slot;
use crate::syntax::Source;
use crate::turn::{Flow, Turn};

/// What an instruction does for the lanes of `mask` (never empty).
///
/// # Safety
/// The processor has the features the function was compiled for; the decoder picks accordingly.
pub type Run = unsafe fn(&mut Turn<'_>, &Instruction, u32) -> Checked<Flow>;

/// Slots an instruction names directly; more than these go through its list.
pub const OPERANDS: usize = 6;

/// An instruction, ready to run.
#[derive(Clone, Copy)]
pub struct Instruction {
    pub run: Run,
    pub guard: Guard,
    /// Destination first, as PTX writes them; what each means is the family's business.
    pub operands: [Slot; OPERANDS],
    /// Address offset, branch target, or any other number known at load.
    pub number: i64,
    /// A second small number: widths, flags, identities.
    pub detail: u32,
    /// Further slots in [`Kernel::lists`]: first and how many.
    pub list: (u32, u32),
}

/// `bit` if `set`: a flag of [`Instruction::detail`].
pub fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}

/// Under which condition a lane takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    Always,
    If(Slot),
    Unless(Slot),
}

/// Where an instruction comes from, and for the counters what kind it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// Where `.loc` told.
    pub source: Option<Source>,
    pub family: Family,
}

/// Families of instructions, as the counters report them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    Integer,
    Float,
    /// `ex2 lg2 sin cos tanh`: the special function unit's.
    Approximate,
    Double,
    Half,
    Convert,
    Compare,
    Logic,
    Move,
    Special,
    Load,
    Store,
    Atomic,
    Exchange,
    Barrier,
    Control,
    Tensor,
    Asynchronous,
}

/// A special register whose value is fixed once a warp starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    WarpCount,
    LaneMask(LaneMask),
    DynamicShared,
    TotalShared,
    /// A number that is the same for all threads and launches (`%nsmid`, `%clusterid`, ...).
    Fixed(u32),
}

/// `%lanemask_eq`, `_le`, `_lt`, `_ge`, `_gt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaneMask {
    Eq,
    Le,
    Lt,
    Ge,
    Gt,
}

/// One kernel: its code, its register file and what a launch has to provide.
pub struct Kernel {
    pub name: String,
    pub code: Vec<Instruction>,
    /// Number of its first instruction: routines stand before it.
    pub entry: u32,
    /// By the numbers of their functions.
    pub routines: Vec<Routine>,
    /// Register with the place of the running routine's frame in local memory.
    pub frame: Slot,
    /// Where the stack of the routines begins in local memory.
    pub stack_at: u32,
    pub origins: Vec<Origin>,
    pub lists: Vec<Slot>,
    pub rows: usize,
    pub predicates: usize,
    /// Constants that lie in registers: slot, bits, whether they take two rows.
    pub constants: Vec<(Slot, u64, bool)>,
    /// Predicates that always hold or never.
    pub predicate_constants: Vec<(Slot, bool)>,
    pub specials: Vec<(Slot, Special)>,
    /// Offset and size of each parameter, and the bytes of all.
    pub parameters: Vec<(u32, u32)>,
    pub parameter_bytes: u32,
    /// Shared memory declared with a size; dynamic shared memory follows it.
    pub shared_bytes: u32,
    pub dynamic_shared_at: u32,
    /// Where the system's own part of it lies, which is zero when a block starts.
    pub reserved_shared: Option<u32>,
    /// Local memory of a thread.
    pub local_bytes: u32,
    /// Instructions read shared memory by the asynchronous proxy.
    pub async_proxy: bool,
    pub most_threads: Option<[u32; 3]>,
    pub exact_threads: Option<[u32; 3]>,
}

/// A function that is called by its address or calls itself: its code stands once, before the kernel's, so that lanes
/// inside it come back before others go on without them.
pub struct Routine {
    pub name: String,
    /// Index among the module's functions.
    pub function: u32,
    /// Number of its first instruction.
    pub entry: u32,
    /// Bytes of its variables, parameters and results in local memory.
    pub frame_bytes: u32,
    /// Offset in the frame and size of each parameter.
    pub parameters: Vec<(u32, u32)>,
    /// The same of each result.
    pub returns: Vec<(u32, u32)>,
    /// What it may find of itself when it is entered again before it has returned; nothing if it never is.
    pub kept: Kept,
}

/// The registers of a routine.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Those of a row.
    pub narrow: Vec<Slot>,
    /// Those of two rows.
    pub wide: Vec<Slot>,
    pub predicates: Range<u32>,
}

impl Kept {
    /// 32-bit words of a lane.
    pub fn words(&self) -> usize {
        self.narrow.len() + 2 * self.wide.len() + self.predicates.len()
    }
}

/// A module-scope variable with memory on the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalVariable {
    pub name: String,
    pub address: u64,
    pub bytes: u64,
}

/// All that a PTX text became.
pub struct Program {
    pub kernels: HashMap<String, Arc<Kernel>>,
    pub variables: Vec<GlobalVariable>,
    /// Where `malloc` takes from, if the module names it.
    pub heap: Option<Heap>,
    /// Source files by the number `.loc` uses.
    pub files: HashMap<u32, String>,
    /// The text's lines, for reports.
    pub lines: Vec<String>,
    pub target: String,
}

impl Program {
    /// A place of `.loc`: the name of the file, and the line.
    pub fn place(&self, (file, line): (u32, u32)) -> Option<(String, u32)> {
        Some((self.files.get(&file)?.clone(), line))
    }
}
