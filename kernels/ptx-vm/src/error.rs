//! What can go wrong: a text that is no program for this machine, and a program that breaks a rule while it runs.

use std::fmt;

/// A PTX text was refused when it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Line of the PTX text, from 1; 0 where no line is to blame.
    pub line: u32,
    /// That line, trimmed.
    pub text: String,
    /// What was expected and what was found.
    pub message: String,
}

impl LoadError {
    /// An error at `line`; the text of the line is filled in by [`LoadError::quoting`].
    pub fn new(line: u32, message: impl Into<String>) -> Self {
        Self { line, text: String::new(), message: message.into() }
    }

    /// The same error with its line quoted from `source`.
    pub fn quoting(mut self, source: &str) -> Self {
        if let Some(text) = (self.line as usize).checked_sub(1).and_then(|i| source.lines().nth(i))
        {
            self.text = text.trim().chars().take(200).collect();
        }
        self
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "PTX: {}", self.message),
            line => write!(f, "PTX line {line}: {}: {}", self.message, self.text),
        }
    }
}

impl std::error::Error for LoadError {}

pub type LoadResult<T> = Result<T, LoadError>;

/// Which rule was broken. Each stands for one report of the machine and one driver error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// An address outside every live allocation, or outside shared or local memory.
    OutOfBounds,
    /// An address that is no multiple of the access's size.
    Misaligned,
    /// An address inside an allocation that was freed.
    Freed,
    /// A write to constant memory or a parameter.
    ReadOnly,
    /// A read of bytes nobody wrote.
    Unwritten,
    /// Two threads touched one word, one of them writing, with nothing that orders them.
    Race,
    /// A barrier that not all its threads reach.
    Barrier,
    /// A lane that reads from, or waits for, a lane that does not take part.
    InactiveLane,
    /// An integer division or remainder by zero.
    DivisionByZero,
    /// Every warp waits, or polls without an end.
    Deadlock,
    /// More threads, registers, shared memory or arguments than the target has or the kernel takes.
    Launch,
    /// More instructions than the launch was allowed to run.
    InstructionLimit,
    /// An asynchronous copy or tensor operation used against its rules (missing wait or fence, bad descriptor).
    Asynchronous,
    /// `trap`, a failed assertion, or an operand the manual forbids (a barrier above 15, ...).
    Trap,
}

/// A thread of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Thread {
    pub block: [u32; 3],
    pub thread: [u32; 3],
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "block ({bx}, {by}, {bz}) thread ({tx}, {ty}, {tz})")
    }
}

/// A rule broken by a running kernel: what, where in the program, by whom, at which address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub rule: Rule,
    /// What was expected and what was found.
    pub message: String,
    pub kernel: String,
    /// Line of the PTX text, from 1; 0 where no instruction is to blame (a refused launch).
    pub line: u32,
    /// The instruction as the PTX text has it.
    pub text: String,
    /// File and line of the kernel's source, where the PTX names them (`.loc`).
    pub source: Option<(String, u32)>,
    /// File and line where the function of that line was inlined.
    pub inlined_at: Option<(String, u32)>,
    pub thread: Option<Thread>,
    /// Address in the space of the access.
    pub address: Option<u64>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in kernel {}: {}", self.rule, self.kernel, self.message)?;
        if let Some(address) = self.address {
            write!(f, "\n  address 0x{address:x}")?;
        }
        if let Some(thread) = self.thread {
            write!(f, "\n  {thread}")?;
        }
        if self.line > 0 {
            write!(f, "\n  PTX line {}: {}", self.line, self.text)?;
        }
        if let Some((file, line)) = &self.source {
            write!(f, "\n  source {file}:{line}")?;
        }
        if let Some((file, line)) = &self.inlined_at {
            write!(f, ", inlined at {file}:{line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

/// A broken rule before it is known where the warp stands: memory and families report this, the
/// scheduler adds kernel, line and thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub message: String,
    /// The first lane that broke the rule.
    pub lane: Option<u32>,
    pub address: Option<u64>,
}

impl Violation {
    pub fn new(rule: Rule, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), lane: None, address: None }
    }

    pub fn at(rule: Rule, lane: u32, address: u64, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), lane: Some(lane), address: Some(address) }
    }

    pub fn by(rule: Rule, lane: u32, message: impl Into<String>) -> Self {
        Self { rule, message: message.into(), lane: Some(lane), address: None }
    }
}

/// Boxed: the good path pays a pointer.
pub type Checked<T> = Result<T, Box<Violation>>;
