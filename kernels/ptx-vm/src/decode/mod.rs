//! From a parsed text to a program: registers become slots, labels become instruction numbers, calls are written out
//! in place, and each instruction is given to its family to decode.

mod constants;
mod frame;
mod graph;
mod layout;
mod modifiers;
mod routines;
mod site;

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{LoadError, LoadResult};
use crate::family;
use crate::heap::{HEAP_BYTES, Heap};
use crate::program::{GlobalVariable, Instruction, Kept, Kernel, Origin, Program, Routine};
use crate::registers::Slot;
use crate::shapes::Host;
use crate::syntax::{Function, Module, Variable};

pub use constants::constant_bits;
pub use frame::{Binding, Frame};
pub use layout::RESERVED_BYTES;
pub use modifiers::Modifiers;
pub use site::{Encoded, Place, Site};

use constants::Constants;
use graph::Graph;

/// Instructions a kernel may have once its calls are written out.
const MOST_INSTRUCTIONS: usize = 1 << 20;

/// Calls written out in a kernel: functions that call others twice each double their number.
const MOST_CALLS: usize = 1 << 16;
/// Rows of registers: 8 MiB a warp.
const MOST_ROWS: u32 = 1 << 16;
/// Labels in the lists of branches with all calls written out.
const MOST_TARGETS: usize = 1 << 22;

/// Gives module variables memory on the device.
pub trait Placement {
    /// Address for a variable with this content; `read_only` for `.const`.
    ///
    /// # Errors
    /// The device has no room.
    fn place(
        &mut self,
        variable: &Variable<'_>,
        content: &[u8],
        read_only: bool,
    ) -> LoadResult<u64>;
    /// Address of memory that nobody has written; `line` is where it is asked for.
    ///
    /// # Errors
    /// The device has no room.
    fn reserve(&mut self, bytes: u64, line: u32) -> LoadResult<u64>;
    /// A later correction of the content: addresses of other variables.
    ///
    /// # Errors
    /// The device refuses.
    fn patch(&mut self, address: u64, content: &[u8]) -> LoadResult<()>;
}

/// Decodes every kernel of a module, for a kind of processor that this one is at least.
///
/// # Errors
/// An instruction, type or modifier that the machine does not know; no room for the variables.
pub fn decode(
    module: &Module<'_>,
    text: &str,
    placement: &mut dyn Placement,
    host: Host,
) -> LoadResult<Program> {
    let host = if Host::detect() == Host::Any { Host::Any } else { host };
    let addresses = layout::place_variables(module, placement).map_err(|e| e.quoting(text))?;
    let mut kernels = HashMap::new();
    let allocates = module.functions.iter().find(|f| f.name == "malloc" && f.body.is_none());
    let heap = match allocates {
        Some(function) => Some(Heap::new(placement.reserve(HEAP_BYTES, function.line)?)),
        None => None,
    };
    let graph = Graph::of(module);
    let entries = module.functions.iter().enumerate().filter(|(_, f)| f.entry && f.body.is_some());
    for (index, function) in entries {
        let decode = |dynamic_at| {
            Decoder::new(module, &addresses, dynamic_at, host).kernel(function, &graph, index)
        };
        let mut kernel = decode(0).map_err(|e| e.quoting(text))?;
        if kernel.dynamic_shared_at > 0 {
            kernel = decode(kernel.dynamic_shared_at).map_err(|e| e.quoting(text))?;
        }
        kernels.insert(function.name.to_owned(), Arc::new(kernel));
    }
    let variables = module.variables.iter().zip(&addresses);
    let variables = variables.filter_map(|(v, address)| {
        address.map(|address| GlobalVariable { name: v.name.to_owned(), address, bytes: v.bytes() })
    });
    Ok(Program {
        kernels,
        variables: variables.collect(),
        heap,
        files: module.files.iter().cloned().collect(),
        lines: text.lines().map(str::to_owned).collect(),
        target: module.target.first().copied().unwrap_or_default().to_owned(),
    })
}

/// A kernel under construction.
pub struct Decoder<'m, 't> {
    pub(crate) module: &'m Module<'t>,
    /// Address of each module variable; `None` for shared ones.
    pub(crate) addresses: &'m [Option<u64>],
    pub(crate) host: Host,
    code: Vec<Instruction>,
    origins: Vec<Origin>,
    lists: Vec<Slot>,
    rows: u32,
    predicates: u32,
    constants: Constants,
    shared: layout::Shared,
    local_bytes: u32,
    async_proxy: bool,
    /// Functions that the kernel calls by their address, or that call themselves.
    routines: Vec<Routine>,
    /// Register with the place of the running routine's frame.
    frame: Slot,
    /// Bytes of the frame of the routine being decoded.
    frame_bytes: Option<u32>,
    /// Registers of that routine.
    kept: Kept,
    /// What every frame is a multiple of.
    frame_align: u32,
    /// Functions being written out, one in the other.
    depth: usize,
    /// Bodies written out until now.
    written_out: usize,
    /// The carry flag of `add.cc` and its kin, once an instruction needs it.
    carry: Option<Slot>,
}

impl<'m, 't> Decoder<'m, 't> {
    fn new(
        module: &'m Module<'t>,
        addresses: &'m [Option<u64>],
        dynamic_at: u32,
        host: Host,
    ) -> Self {
        Self {
            module,
            addresses,
            host,
            code: Vec::new(),
            origins: Vec::new(),
            lists: Vec::new(),
            rows: 0,
            predicates: 0,
            constants: Constants::default(),
            shared: layout::Shared::new(dynamic_at),
            local_bytes: 0,
            async_proxy: false,
            routines: Vec::new(),
            frame: Slot::default(),
            frame_bytes: None,
            kept: Kept::default(),
            frame_align: 16,
            depth: 0,
            written_out: 0,
            carry: None,
        }
    }

    fn kernel(
        mut self,
        function: &'m Function<'t>,
        graph: &Graph,
        index: usize,
    ) -> LoadResult<Kernel> {
        let (parameters, parameter_bytes) = layout::parameters(function)?;
        self.write_routines(graph, graph.routines(index))?;
        let entry = self.code.len() as u32;
        let bindings = parameters.iter().map(|&(offset, _)| Binding::Parameter(offset)).collect();
        self.write_out(function, bindings, Vec::new())?;
        let stack_at = self.finish_routines();
        let (shared_bytes, dynamic_shared_at) = self.shared.finish();
        let reserved_shared = self.shared.reserved_at();
        Ok(Kernel {
            name: function.name.to_owned(),
            code: self.code,
            entry,
            routines: self.routines,
            frame: self.frame,
            stack_at,
            origins: self.origins,
            lists: self.lists,
            rows: self.rows as usize,
            predicates: self.predicates as usize,
            constants: self.constants.rows,
            predicate_constants: self.constants.predicates,
            specials: self.constants.specials,
            parameters,
            parameter_bytes,
            shared_bytes,
            dynamic_shared_at,
            reserved_shared,
            local_bytes: self.local_bytes,
            async_proxy: self.async_proxy,
            most_threads: function.most_threads,
            exact_threads: function.exact_threads,
        })
    }

    /// Decodes a function's body at the end of the code; `ret` in it goes to the end of what is written.
    pub(crate) fn write_out(
        &mut self,
        function: &'m Function<'t>,
        parameters: Vec<Binding>,
        returns: Vec<Binding>,
    ) -> LoadResult<()> {
        let Some(body) = &function.body else {
            let message =
                format!("{} is declared here but has no body in this module", function.name);
            return Err(LoadError::new(function.line, message));
        };
        let frame = Frame::new(self, function, body, parameters, returns)?;
        self.written_out += 1;
        if let Some(what) = self.too_large() {
            let message = format!("more than {what} with all calls written out");
            return Err(LoadError::new(function.line, message));
        }
        let first = self.code.len();
        let mut starts = Vec::with_capacity(body.instructions.len() + 1);
        for instruction in &body.instructions {
            starts.push(self.code.len() as u32);
            if self.code.len() >= MOST_INSTRUCTIONS {
                let message = format!(
                    "more than {MOST_INSTRUCTIONS} instructions with all calls written out"
                );
                return Err(LoadError::new(instruction.line, message));
            }
            family::decode(&mut Site::new(self, &frame, instruction))?;
        }
        starts.push(self.code.len() as u32);
        frame.resolve_jumps(&mut self.code[first..], &mut self.lists, &body.labels, &starts);
        if function.entry {
            let line = body.instructions.last().map_or(function.line, |i| i.line);
            self.push(
                family::control::end(),
                Origin { line, source: None, family: crate::program::Family::Control },
            );
        }
        Ok(())
    }

    /// What there is too much of.
    fn too_large(&self) -> Option<String> {
        let limits = [
            (self.written_out, MOST_CALLS, "calls"),
            (self.rows as usize, MOST_ROWS as usize, "32-bit registers"),
            (self.lists.len(), MOST_TARGETS, "labels in lists"),
        ];
        let over = limits.into_iter().find(|(found, most, _)| found > most);
        over.map(|(_, most, what)| format!("{most} {what}"))
    }

    pub(crate) fn push(&mut self, instruction: Instruction, origin: Origin) {
        self.code.push(instruction);
        self.origins.push(origin);
    }

    /// Slots for `count` rows in sequence: one, or pairs.
    pub(crate) fn new_rows(&mut self, count: u32) -> Slot {
        let slot = Slot(self.rows);
        self.rows += count;
        if self.frame_bytes.is_some() {
            match count {
                1 => self.kept.narrow.push(slot),
                _ => self.kept.wide.extend((slot.0..self.rows).step_by(2).map(Slot)),
            }
        }
        slot
    }

    pub(crate) fn new_predicate(&mut self) -> Slot {
        let slot = Slot(self.predicates);
        self.predicates += 1;
        slot
    }

    /// Local memory of a thread, `bytes` at a multiple of `align`: in the frame of a routine, or once for the kernel.
    pub(crate) fn new_local(&mut self, bytes: u64, align: u32, line: u32) -> LoadResult<Binding> {
        let used = self.frame_bytes.unwrap_or(self.local_bytes);
        let at = u64::from(used).next_multiple_of(u64::from(align.max(1)));
        let end = at.saturating_add(bytes);
        if end > 512 << 10 {
            return Err(LoadError::new(
                line,
                format!("local memory of {end} bytes a thread; at most 512 KiB"),
            ));
        }
        Ok(match &mut self.frame_bytes {
            Some(frame) => {
                *frame = end as u32;
                self.frame_align = self.frame_align.max(align);
                Binding::Stack(at as u32)
            }
            None => {
                self.local_bytes = end as u32;
                Binding::Local(at as u32)
            }
        })
    }
}
