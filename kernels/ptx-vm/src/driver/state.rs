//! The objects of the driver: contexts, streams, events, modules, functions, graphs, pools, allocations.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::CString;
use std::sync::{Arc, OnceLock};
use std::thread::ThreadId;
use std::time::Instant;

use crate::driver::capture::{Capture, Executable, Graph};
use crate::driver::queue::Queue;
use crate::driver::status::{Answer, Status};
use crate::driver::table::{Handle, Table};
use crate::program::{Kernel, Program};
use crate::random::Random;

thread_local! {
    /// Contexts of this thread, the current one last.
    static CURRENT: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// The contexts this thread has pushed.
pub fn with_stack<T>(f: impl FnOnce(&mut Vec<Handle>) -> T) -> T {
    CURRENT.with(|stack| f(&mut stack.borrow_mut()))
}

/// A context of the one device.
pub struct Context {
    pub flags: u32,
    /// The stream of handle 0.
    pub legacy: Handle,
    /// The streams of handle 2.
    pub per_thread: HashMap<ThreadId, Handle>,
    pub limits: BTreeMap<u32, usize>,
    pub cache_config: u32,
    /// Why it is of no use any more, where faults stay.
    pub broken: Option<Status>,
}

pub struct Stream {
    pub context: Handle,
    pub flags: u32,
    pub priority: i32,
    /// Pieces of work its next piece comes after.
    pub frontier: Vec<u64>,
    /// The capture it takes part in.
    pub capture: Option<u64>,
}

impl Stream {
    /// Whether it waits for the legacy stream and that one for it.
    pub fn is_blocking(&self) -> bool {
        self.flags & 1 == 0
    }
}

/// What an event stands for.
#[derive(Clone)]
pub enum Recorded {
    Never,
    Work { id: u64, moment: Arc<OnceLock<Instant>> },
    Captured { capture: u64, nodes: Vec<usize> },
}

pub struct Event {
    pub context: Handle,
    pub flags: u32,
    pub recorded: Recorded,
}

pub struct Module {
    pub context: Handle,
    pub program: Arc<Program>,
    /// Functions that were asked for, by name.
    pub functions: HashMap<String, Handle>,
}

pub struct Function {
    pub context: Handle,
    pub module: Handle,
    pub name: CString,
    pub program: Arc<Program>,
    pub kernel: Arc<Kernel>,
    /// Dynamic shared memory a launch may ask for.
    pub most_dynamic_shared: u32,
    /// Attributes that are only remembered.
    pub attributes: BTreeMap<u32, i32>,
}

pub struct Pool {
    pub release_threshold: u64,
    /// Switches about reuse, by the number of their attribute.
    pub reuse: BTreeMap<u32, i32>,
}

/// Device memory somebody asked for.
#[derive(Debug, Clone, Copy)]
pub struct Allocation {
    pub context: Handle,
    pub bytes: u64,
    /// A free of it waits in a stream.
    pub going: bool,
}

/// Host memory that copies may use asynchronously.
#[derive(Debug, Clone, Copy)]
pub struct Pinned {
    pub context: Handle,
    pub bytes: usize,
    pub flags: u32,
    /// The driver's own, or the caller's that was registered.
    pub owned: bool,
}

/// Everything that handles stand for.
#[derive(Default)]
pub struct State {
    pub contexts: Table<Context>,
    /// The primary context and how often it is held.
    pub primary: Option<(Handle, usize)>,
    pub primary_flags: u32,
    pub streams: Table<Stream>,
    pub events: Table<Event>,
    pub modules: Table<Module>,
    pub functions: Table<Function>,
    pub graphs: Table<Graph>,
    pub executables: Table<Executable>,
    pub pools: Table<Pool>,
    pub default_pool: Option<Handle>,
    pub current_pool: Option<Handle>,
    pub allocations: BTreeMap<u64, Allocation>,
    pub used: u64,
    pub used_high: u64,
    pub pinned: BTreeMap<usize, Pinned>,
    pub captures: BTreeMap<u64, Capture>,
    pub next_capture: u64,
    pub queue: Queue,
    /// Calls since the counts were reset that gave a stream work: a launch, a copy, a fill, a whole graph.
    pub calls: u64,
    pub random: Option<Random>,
}

impl State {
    /// The context the calling thread works in.
    ///
    /// # Errors
    /// `INVALID_CONTEXT`: none. `CONTEXT_IS_DESTROYED`. Any other: a fault that stays.
    pub fn current(&self) -> Answer<Handle> {
        let context = with_stack(|s| s.last().copied()).ok_or(Status::INVALID_CONTEXT)?;
        match self.contexts.get(context) {
            Ok(Context { broken: Some(status), .. }) => Err(*status),
            Ok(_) => Ok(context),
            Err(_) => Err(Status::CONTEXT_IS_DESTROYED),
        }
    }

    pub fn new_context(&mut self, flags: u32) -> Handle {
        let legacy =
            Stream { context: 0, flags: 0, priority: 0, frontier: Vec::new(), capture: None };
        let legacy = self.streams.insert(legacy);
        let context = self.contexts.insert(Context {
            flags,
            legacy,
            per_thread: HashMap::new(),
            limits: BTreeMap::new(),
            cache_config: 0,
            broken: None,
        });
        if let Ok(stream) = self.streams.get_mut(legacy) {
            stream.context = context;
        }
        context
    }

    /// The stream a handle stands for in the current context: 0 and 1 the legacy stream, 2 the thread's own.
    ///
    /// # Errors
    /// As [`State::current`]; `INVALID_HANDLE`.
    pub fn stream(&mut self, handle: Handle) -> Answer<Handle> {
        let current = self.current()?;
        let context = self.contexts.get_mut(current)?;
        match handle {
            0 | 1 => Ok(context.legacy),
            2 => Ok(*context.per_thread.entry(std::thread::current().id()).or_insert_with(|| {
                let frontier = Vec::new();
                let (flags, priority, capture) = (0, 0, None);
                self.streams.insert(Stream { context: current, flags, priority, frontier, capture })
            })),
            _ if self.streams.get(handle)?.context == current => Ok(handle),
            _ => Err(Status::INVALID_CONTEXT),
        }
    }

    /// Whether `stream` is its context's legacy stream.
    pub fn is_legacy(&self, stream: Handle) -> bool {
        self.contexts.iter().any(|(_, context)| context.legacy == stream)
    }

    /// The allocation an address lies in: its first address and itself.
    pub fn allocation_of(&self, address: u64) -> Option<(u64, Allocation)> {
        let (&base, &allocation) = self.allocations.range(..=address).next_back()?;
        (address < base + allocation.bytes).then_some((base, allocation))
    }

    /// The pinned memory an address of the host lies in.
    pub fn pinned_of(&self, address: usize) -> Option<(usize, Pinned)> {
        let (&base, &pinned) = self.pinned.range(..=address).next_back()?;
        (address < base + pinned.bytes).then_some((base, pinned))
    }

    /// Forgets everything of a context but itself and its legacy stream; returns the device memory
    /// to be freed, and the driver's own pinned memory.
    pub fn empty_context(&mut self, context: Handle) -> (Vec<u64>, Vec<(usize, usize)>) {
        let legacy = self.contexts.get(context).map_or(0, |c| c.legacy);
        let captures: Vec<u64> = (self.captures.iter())
            .filter(|(_, capture)| {
                self.streams.get(capture.origin).is_ok_and(|s| s.context == context)
            })
            .map(|(&id, _)| id)
            .collect();
        captures.iter().for_each(|id| drop(self.captures.remove(id)));
        for stream in self.streams.values_mut().filter(|s| s.context == context) {
            stream.capture = None;
            stream.frontier.clear();
        }
        self.streams.retain(|handle, s| s.context != context || handle == legacy);
        self.events.retain(|_, e| e.context != context);
        self.modules.retain(|_, m| m.context != context);
        self.functions.retain(|_, f| f.context != context);
        self.graphs.retain(|_, g| g.context != context);
        self.executables.retain(|_, e| e.context != context);
        if let Ok(c) = self.contexts.get_mut(context) {
            c.per_thread.clear();
            c.limits.clear();
            c.broken = None;
        }
        let gone: Vec<u64> = (self.allocations.iter())
            .filter(|(_, a)| a.context == context)
            .map(|(&address, _)| address)
            .collect();
        gone.iter().for_each(|address| self.forget_allocation(*address));
        let pinned = self.pinned.iter().filter(|(_, p)| p.context == context && p.owned);
        let pinned = pinned.map(|(&address, p)| (address, p.bytes)).collect();
        self.pinned.retain(|_, p| p.context != context);
        (gone, pinned)
    }

    pub fn forget_allocation(&mut self, address: u64) {
        if let Some(allocation) = self.allocations.remove(&address) {
            self.used -= allocation.bytes;
        }
    }
}
