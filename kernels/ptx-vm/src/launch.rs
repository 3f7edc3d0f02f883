//! A launch: a kernel, its grid and arguments, and the rules it runs under.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::block::Crew;
use crate::error::{Fault, Rule, Thread, Violation};
use crate::memory::{Cache, Checks, Constant, GlobalView};
use crate::profile::Profile;
use crate::program::{Kernel, Program};
use crate::progress::Progress;
use crate::registers::Slot;
use crate::target::Target;

/// What the machine checks and how it runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Host threads that blocks are spread over.
    pub threads: usize,
    /// Reads of memory nobody wrote are faults.
    pub written: bool,
    /// Unordered accesses to one word are faults.
    pub races: bool,
    /// Sectors, cache and bank conflicts are counted.
    pub counts: bool,
    /// The second-level cache that counted traffic goes through.
    pub cache: Option<Arc<Cache>>,
    /// Where kernels print; `None` is the standard output of the process.
    pub printed: Option<Arc<Mutex<Vec<u8>>>>,
    /// Seed of a random order of warps; asynchronous effects then come as late as they may.
    pub adversarial: Option<u64>,
    /// Warp instructions a block may run.
    pub instruction_limit: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self {
            threads,
            written: true,
            races: false,
            counts: false,
            cache: None,
            printed: None,
            adversarial: None,
            instruction_limit: Some(1 << 36),
        }
    }
}

/// Grid, block and dynamic shared memory of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimensions {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
}

/// A launch while it runs: what all blocks see.
pub struct Launch<'a> {
    pub program: &'a Program,
    pub kernel: &'a Kernel,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub parameters: Constant,
    pub global: GlobalView,
    pub options: &'a Options,
    /// Which of the host threads still move.
    pub(crate) progress: Progress,
}

impl<'a> Launch<'a> {
    /// Checks a launch against the kernel and the target.
    ///
    /// # Errors
    /// [`Rule::Launch`]: what exceeds which limit.
    pub fn new(
        program: &'a Program,
        kernel: &'a Kernel,
        dimensions: Dimensions,
        parameters: &[u8],
        global: GlobalView,
        options: &'a Options,
        target: &Target,
    ) -> Result<Self, Box<Fault>> {
        let Dimensions { grid, block, dynamic_shared } = dimensions;
        let bytes = parameters.len();
        let parameters = Constant::new(parameters).ok_or_else(|| no_room(kernel))?;
        let checks = Checks { unwritten: options.written, races: options.races };
        let mut global = global.with_checks(checks);
        if let Some(cache) = &options.cache {
            global = global.with_cache(cache.clone());
        }
        let launch = Self {
            program,
            kernel,
            grid,
            block,
            dynamic_shared,
            parameters,
            global,
            options,
            progress: Progress::default(),
        };
        match target.refuses(kernel, dimensions, bytes) {
            None => Ok(launch),
            Some(message) => {
                Err(Box::new(launch.fault(&Violation::new(Rule::Launch, message), None, None)))
            }
        }
    }

    /// Shared memory of a block, declared and dynamic.
    pub fn shared_bytes(&self) -> u32 {
        match self.dynamic_shared {
            0 => self.kernel.shared_bytes,
            dynamic => self.kernel.dynamic_shared_at + dynamic,
        }
    }

    /// Runs all blocks, spread over host threads.
    ///
    /// # Errors
    /// The first rule that was broken; of several blocks' faults the one of the lowest block.
    pub fn run(&self) -> Result<Profile, Box<Fault>> {
        let blocks = self.grid.iter().map(|&n| u64::from(n)).product::<u64>();
        let workers = (self.options.threads.max(1) as u64).min(blocks);
        let next = AtomicU64::new(0);
        self.progress.start(workers as usize);
        if let Some(heap) = &self.program.heap {
            heap.begin();
        }
        let profile = Profile::new(self.kernel.code.len(), self.options.counts);
        let results = Mutex::new((profile, None::<(u64, Box<Fault>)>));
        let work = || {
            let mut crew = match Crew::new(self) {
                Ok(crew) => crew,
                Err(fault) => {
                    self.progress.stop();
                    self.progress.leave();
                    return keep(&results, 0, fault);
                }
            };
            while !self.progress.is_stopped() {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    break;
                }
                if let Err(fault) = crew.run(self, block) {
                    keep(&results, block, fault);
                    self.progress.stop();
                }
            }
            self.progress.leave();
            results.lock().unwrap_or_else(|e| e.into_inner()).0.add(&crew.into_profile());
        };
        std::thread::scope(|scope| {
            for _ in 1..workers {
                scope.spawn(work);
            }
            work();
        });
        match results.into_inner().unwrap_or_else(|e| e.into_inner()) {
            (_, Some((_, fault))) => Err(fault),
            (profile, None) => Ok(profile),
        }
    }

    /// Threads of a block.
    pub fn threads(&self) -> u32 {
        self.block.iter().product()
    }

    /// Position in the block of its thread number `linear`.
    pub fn thread(&self, linear: u32) -> [u32; 3] {
        let [x, y, _] = self.block;
        [linear % x, linear / x % y, linear / (x * y)]
    }

    /// Slots beyond those an instruction holds itself.
    #[inline(always)]
    pub fn list(&self, (first, count): (u32, u32)) -> &[Slot] {
        &self.kernel.lists[first as usize..][..count as usize]
    }

    pub fn over_limit(&self, instructions: u64) -> bool {
        self.options.instruction_limit.is_some_and(|limit| instructions > limit)
    }

    /// A broken rule with all that is known of its place.
    pub fn fault(&self, violation: &Violation, pc: Option<u32>, thread: Option<Thread>) -> Fault {
        let origin = pc.and_then(|pc| self.kernel.origins.get(pc as usize));
        let line = origin.map_or(0, |o| o.line);
        let text = (line as usize).checked_sub(1).and_then(|i| self.program.lines.get(i));
        let source = origin.and_then(|o| o.source);
        Fault {
            rule: violation.rule,
            message: violation.message.clone(),
            kernel: self.kernel.name.clone(),
            line,
            text: text.map_or(String::new(), |t| t.trim().to_owned()),
            source: source.and_then(|source| self.program.place(source.at)),
            inlined_at: source.and_then(|source| self.program.place(source.inlined_at?)),
            thread,
            address: violation.address,
        }
    }
}

/// What the host threads of a launch come back with.
type Results = Mutex<(Profile, Option<(u64, Box<Fault>)>)>;

/// Keeps the fault of the lowest block.
fn keep(results: &Results, block: u64, fault: Box<Fault>) {
    let mut results = results.lock().unwrap_or_else(|e| e.into_inner());
    if results.1.as_ref().is_none_or(|(other, _)| block < *other) {
        results.1 = Some((block, fault));
    }
}

fn no_room(kernel: &Kernel) -> Box<Fault> {
    Box::new(Fault {
        rule: Rule::Launch,
        message: "the host has no room for the arguments".to_owned(),
        kernel: kernel.name.clone(),
        line: 0,
        text: String::new(),
        source: None,
        inlined_at: None,
        thread: None,
        address: None,
    })
}
