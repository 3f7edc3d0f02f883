//! What a stream does: launches, copies, fills, and the small things between.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::driver::machine::{Machine, in_host_function, report};
use crate::driver::status::{Answer, Status};
use crate::launch::{Dimensions, Launch};
use crate::memory::MemoryError;
use crate::program::{Kernel, Program};

/// A kernel with everything a launch needs; the module may be unloaded meanwhile.
#[derive(Clone)]
pub struct KernelCall {
    pub program: Arc<Program>,
    pub kernel: Arc<Kernel>,
    pub dimensions: Dimensions,
    pub parameters: Vec<u8>,
}

/// One side of a copy.
#[derive(Clone)]
pub enum End {
    Device(u64),
    /// Address in the host's memory.
    Host(usize),
    /// Bytes taken from the host when the copy was asked for.
    Staged(Arc<Vec<u8>>),
}

/// A copy of `rows` rows of `width` bytes.
#[derive(Clone)]
pub struct Copy {
    pub from: End,
    pub to: End,
    /// Bytes from one row to the next.
    pub from_pitch: usize,
    pub to_pitch: usize,
    pub width: usize,
    pub rows: usize,
}

/// `rows` rows of `width` elements set to one value.
#[derive(Clone)]
pub struct Fill {
    pub address: u64,
    /// Bytes from one row to the next.
    pub pitch: u64,
    pub value: u32,
    /// Bytes of an element: 1, 2 or 4.
    pub element: u32,
    pub width: u64,
    pub rows: u64,
}

/// A function of the host that a stream calls.
#[derive(Clone, std::marker::Copy)]
pub struct HostCall {
    pub function: unsafe extern "C" fn(*mut c_void),
    pub data: usize,
}

/// A piece of a stream's work.
#[derive(Clone)]
pub enum Operation {
    Launch(Arc<KernelCall>),
    Copy(Copy),
    Fill(Fill),
    Call(HostCall),
    /// An event's moment.
    Record(Arc<OnceLock<Instant>>),
    /// Gives an allocation back.
    Free(u64),
}

impl Operation {
    /// Runs it to its end.
    ///
    /// # Errors
    /// What CUDA would have said; the report has been given.
    pub fn run(&self, machine: &Machine) -> Answer {
        catch_unwind(AssertUnwindSafe(|| self.run_unguarded(machine))).unwrap_or_else(|_| {
            report("the machine itself failed (a panic): this is a defect of ptx-vm");
            Err(Status::UNKNOWN)
        })
    }

    fn run_unguarded(&self, machine: &Machine) -> Answer {
        match self {
            Operation::Launch(call) => call.run(machine),
            Operation::Copy(copy) => copy.run(machine),
            Operation::Fill(fill) => fill.run(machine),
            Operation::Call(call) => {
                // SAFETY: the caller of cuLaunchHostFunc promised that the function may be called with this.
                in_host_function(|| unsafe { (call.function)(call.data as *mut c_void) });
                Ok(())
            }
            Operation::Record(moment) => {
                moment.get_or_init(Instant::now);
                Ok(())
            }
            Operation::Free(address) => {
                machine.lock().forget_allocation(*address);
                machine.memory.free(*address).map_err(|e| memory_error("free", &e))
            }
        }
    }

    /// The host's bytes it reads or writes: where and how many.
    pub fn host_ranges(&self) -> impl Iterator<Item = (usize, usize)> {
        let ends = match self {
            Operation::Copy(copy) => {
                vec![(&copy.from, copy.span(copy.from_pitch)), (&copy.to, copy.span(copy.to_pitch))]
            }
            _ => Vec::new(),
        };
        ends.into_iter().filter_map(|(end, span)| match *end {
            End::Host(at) => Some((at, span)),
            _ => None,
        })
    }

    /// Whether it reads or writes these bytes of the host.
    pub fn touches_host(&self, start: usize, bytes: usize) -> bool {
        self.host_ranges().any(|(at, span)| at < start.saturating_add(bytes) && start < at + span)
    }
}

impl KernelCall {
    fn run(&self, machine: &Machine) -> Answer {
        let options = machine.settings().options;
        let launch = Launch::new(
            &self.program,
            &self.kernel,
            self.dimensions,
            &self.parameters,
            machine.memory.view(),
            &options,
            &machine.target,
        );
        match launch.and_then(|launch| launch.run()) {
            Ok(profile) => {
                if options.counts {
                    machine.count(self, &profile);
                }
                Ok(())
            }
            Err(fault) => {
                report(&fault.to_string());
                Err(Status::of(fault.rule, &fault.message))
            }
        }
    }
}

impl Copy {
    /// Bytes from the first to behind the last.
    pub fn span(&self, pitch: usize) -> usize {
        match self.rows {
            0 => 0,
            rows => (rows - 1).saturating_mul(pitch).saturating_add(self.width),
        }
    }

    fn run(&self, machine: &Machine) -> Answer {
        if self.width == 0 || self.rows == 0 {
            return Ok(());
        }
        let gapless = self.from_pitch == self.width && self.to_pitch == self.width;
        let (width, rows) =
            if gapless { (self.width * self.rows, 1) } else { (self.width, self.rows) };
        for row in 0..rows {
            self.run_row(machine, row * self.from_pitch, row * self.to_pitch, width)?;
        }
        Ok(())
    }

    fn run_row(&self, machine: &Machine, from: usize, to: usize, width: usize) -> Answer {
        let memory = &machine.memory;
        let done = match (&self.from, &self.to) {
            (_, End::Staged(_)) => return Err(Status::INVALID_VALUE),
            (End::Device(a), End::Device(b)) => {
                memory.copy(a + from as u64, b + to as u64, width as u64)
            }
            (End::Device(a), End::Host(b)) => {
                // SAFETY: the caller promised that many bytes there until the copy has ended.
                let bytes = unsafe { std::slice::from_raw_parts_mut((b + to) as *mut u8, width) };
                memory.read(a + from as u64, bytes)
            }
            (End::Host(a), End::Device(b)) => {
                // SAFETY: as above.
                let bytes = unsafe { std::slice::from_raw_parts((a + from) as *const u8, width) };
                memory.write(b + to as u64, bytes)
            }
            (End::Staged(bytes), End::Device(b)) => {
                let bytes = bytes.get(from..from + width).ok_or(Status::INVALID_VALUE)?;
                memory.write(b + to as u64, bytes)
            }
            (End::Host(a), End::Host(b)) => {
                let (from, to) = ((a + from) as *const u8, (b + to) as *mut u8);
                // SAFETY: as above; `copy` allows for overlap.
                unsafe { std::ptr::copy(from, to, width) };
                Ok(())
            }
            (End::Staged(bytes), End::Host(b)) => {
                let bytes = bytes.get(from..from + width).ok_or(Status::INVALID_VALUE)?;
                // SAFETY: as above.
                unsafe { std::ptr::copy(bytes.as_ptr(), (b + to) as *mut u8, width) };
                Ok(())
            }
        };
        done.map_err(|e| memory_error("copy", &e))
    }
}

impl Fill {
    /// Bytes from the first to behind the last.
    pub fn span(&self) -> u64 {
        match self.rows {
            0 => 0,
            rows => (rows - 1)
                .saturating_mul(self.pitch)
                .saturating_add(self.width.saturating_mul(u64::from(self.element))),
        }
    }

    fn run(&self, machine: &Machine) -> Answer {
        if self.width == 0 {
            return Ok(());
        }
        let pattern = &self.value.to_le_bytes()[..self.element as usize];
        for row in 0..self.rows {
            machine
                .memory
                .fill(self.address + row * self.pitch, pattern, self.width)
                .map_err(|e| memory_error("fill", &e))?;
        }
        Ok(())
    }
}

/// Reports what the memory refused. Ranges are checked when a call is made, so this is memory freed before its use.
fn memory_error(what: &str, error: &MemoryError) -> Status {
    report(&format!("{what}: {error}"));
    match error {
        MemoryError::Overlap { .. } => Status::INVALID_VALUE,
        _ => Status::ILLEGAL_ADDRESS,
    }
}
