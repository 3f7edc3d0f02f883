//! Kernels: their attributes, and launches.

use super::pointer::{In, Out};
use crate::driver::attributes::{MOST_REGISTERS_OF_A_THREAD, REGISTERS};
use crate::driver::machine::{Machine, call, refuse};
use crate::driver::operation::{KernelCall, Operation};
use crate::driver::state::Function;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;
use crate::launch::Dimensions;
use crate::program::Kernel;
use crate::target::Target;

/// `CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES` and `_PREFERRED_SHARED_MEMORY_CARVEOUT`.
const MOST_DYNAMIC: u32 = 8;
const CARVEOUT: u32 = 9;
/// The first and last attributes about clusters.
const CLUSTERS: std::ops::RangeInclusive<u32> = 10..=15;

/// Threads a block of a kernel may have.
pub(super) fn most_threads(kernel: &Kernel) -> u32 {
    let declared = kernel.exact_threads.or(kernel.most_threads);
    declared.map_or(1024, |[x, y, z]| x.saturating_mul(y).saturating_mul(z).min(1024))
}

/// Registers of a thread. The machine's own are without limit; as many are named as a compiler could have used
/// so that the largest block still fits.
pub(super) fn registers(kernel: &Kernel) -> u32 {
    let room = REGISTERS / most_threads(kernel).max(1) / 8 * 8;
    (kernel.rows as u32).clamp(1, room.min(MOST_REGISTERS_OF_A_THREAD))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetAttribute(value: Out<i32>, attribute: u32, function: Handle) -> Status {
    call(|machine| {
        let state = machine.lock();
        let function = state.functions.get(function)?;
        let kernel = &function.kernel;
        let version = (machine.target.major * 10 + machine.target.minor) as i32;
        let number = match attribute {
            0 => most_threads(kernel) as i32,
            1 => kernel.shared_bytes as i32,
            2 => 0,
            3 => kernel.local_bytes as i32,
            4 => registers(kernel) as i32,
            5 | 6 => version,
            7 => 0,
            MOST_DYNAMIC => function.most_dynamic_shared as i32,
            CARVEOUT => function.attributes.get(&CARVEOUT).copied().unwrap_or(-1),
            n if CLUSTERS.contains(&n) => function.attributes.get(&n).copied().unwrap_or(0),
            _ => return Err(Status::INVALID_VALUE),
        };
        value.set(number)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetAttribute(function: Handle, attribute: u32, value: i32) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        state.current()?;
        let function = state.functions.get_mut(function)?;
        match attribute {
            MOST_DYNAMIC => {
                let wanted = u32::try_from(value).map_err(|_| Status::INVALID_VALUE)?;
                let most = machine.target.shared_most.saturating_sub(function.kernel.shared_bytes);
                if wanted > most {
                    let text = format!(
                        "{wanted} bytes of dynamic shared memory for {}; with what it declares {most} are left of a block's {}",
                        function.kernel.name, machine.target.shared_most
                    );
                    return Err(refuse(Status::INVALID_VALUE, &text));
                }
                function.most_dynamic_shared = wanted;
                Ok(())
            }
            CARVEOUT if (-1..=100).contains(&value) => {
                function.attributes.insert(attribute, value);
                Ok(())
            }
            // Blocks in clusters of more than one do not run here.
            n if CLUSTERS.contains(&n) && value <= 1 => {
                function.attributes.insert(attribute, value);
                Ok(())
            }
            n if CLUSTERS.contains(&n) => Err(Status::NOT_SUPPORTED),
            _ => Err(Status::INVALID_VALUE),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetCacheConfig(function: Handle, config: u32) -> Status {
    call(|machine| {
        machine.lock().functions.get(function)?;
        if config <= 3 { Ok(()) } else { Err(Status::INVALID_VALUE) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncSetSharedMemConfig(function: Handle, config: u32) -> Status {
    cuFuncSetCacheConfig(function, config)
}

/// Where the arguments stand: one address each, or all in a buffer.
#[derive(Clone, Copy)]
struct Arguments {
    each: In<In<u8>>,
    extra: In<usize>,
}

/// Ends, buffer and size in the `extra` array.
const EXTRA_END: usize = 0;
const EXTRA_BUFFER: usize = 1;
const EXTRA_SIZE: usize = 2;

impl Arguments {
    /// The bytes the kernel reads as its parameters.
    fn gather(self, kernel: &Kernel) -> Answer<Vec<u8>> {
        match (self.each.is_null(), self.extra.is_null()) {
            (true, true) if kernel.parameters.is_empty() => Ok(Vec::new()),
            (false, true) => self.gather_each(kernel),
            (true, false) => self.gather_buffer(kernel),
            _ => Err(refuse(
                Status::INVALID_VALUE,
                &format!("launch of {}: arguments in one array or one buffer", kernel.name),
            )),
        }
    }

    fn gather_each(self, kernel: &Kernel) -> Answer<Vec<u8>> {
        let mut bytes = vec![0; kernel.parameter_bytes as usize];
        for (index, &(offset, size)) in kernel.parameters.iter().enumerate() {
            let argument = self.each.at(index)?;
            if argument.is_null() {
                let text = format!("launch of {}: argument {index} is null", kernel.name);
                return Err(refuse(Status::INVALID_VALUE, &text));
            }
            let (offset, size) = (offset as usize, size as usize);
            bytes[offset..offset + size].copy_from_slice(&argument.many(size)?);
        }
        Ok(bytes)
    }

    fn gather_buffer(self, kernel: &Kernel) -> Answer<Vec<u8>> {
        let (mut buffer, mut size) = (0usize, None);
        // Each key comes once at most, so five words are all.
        for at in [0, 2, 4] {
            match self.extra.at(at)? {
                EXTRA_END => break,
                EXTRA_BUFFER => buffer = self.extra.at(at + 1)?,
                // SAFETY: this key's value points to a size by the caller's promise.
                EXTRA_SIZE => {
                    size = Some(unsafe { In::new(self.extra.at(at + 1)? as *const usize) }.get()?)
                }
                _ => return Err(Status::INVALID_VALUE),
            }
        }
        let needed = kernel.parameter_bytes as usize;
        let given = size.ok_or(Status::INVALID_VALUE)?;
        if given < needed || given > needed.next_multiple_of(16) {
            let text = format!(
                "launch of {}: {given} bytes of arguments; the kernel takes {needed}",
                kernel.name
            );
            return Err(refuse(Status::INVALID_VALUE, &text));
        }
        // SAFETY: the buffer has that many bytes by the caller's promise.
        unsafe { In::new(buffer as *const u8) }.many(needed)
    }
}

/// What CUDA refuses when a launch is asked for, before any of it runs.
fn check(function: &Function, dimensions: Dimensions, target: &Target) -> Answer {
    let kernel = &function.kernel;
    let threads = dimensions.block.iter().map(|&n| u64::from(n)).product::<u64>();
    let refused =
        |status, text: String| Err(refuse(status, &format!("launch of {}: {text}", kernel.name)));
    if dimensions.dynamic_shared > function.most_dynamic_shared {
        return refused(
            Status::INVALID_VALUE,
            format!(
                "{} bytes of dynamic shared memory; {} without more asked for by cuFuncSetAttribute",
                dimensions.dynamic_shared, function.most_dynamic_shared
            ),
        );
    }
    match target.refuses(kernel, dimensions, kernel.parameter_bytes as usize) {
        None => Ok(()),
        Some(text)
            if (1..=1024).contains(&threads) && threads > u64::from(most_threads(kernel)) =>
        {
            refused(Status::LAUNCH_OUT_OF_RESOURCES, text)
        }
        Some(text) => refused(Status::INVALID_VALUE, text),
    }
}

fn launch(
    machine: &Machine,
    function: Handle,
    dimensions: Dimensions,
    stream: Handle,
    arguments: Arguments,
) -> Answer {
    let mut state = machine.lock();
    let context = state.current()?;
    state.stream(stream)?;
    let function = state.functions.get(function)?;
    if function.context != context {
        return Err(Status::INVALID_CONTEXT);
    }
    check(function, dimensions, &machine.target)?;
    let (program, kernel) = (function.program.clone(), function.kernel.clone());
    let parameters = arguments.gather(&kernel)?;
    drop(state);
    let work = KernelCall { program, kernel, dimensions, parameters };
    machine.submit(stream, Operation::Launch(work.into()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: u32,
    grid_y: u32,
    grid_z: u32,
    block_x: u32,
    block_y: u32,
    block_z: u32,
    dynamic_shared: u32,
    stream: Handle,
    each: In<In<u8>>,
    extra: In<usize>,
) -> Status {
    call(|machine| {
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        let dimensions = Dimensions { grid, block, dynamic_shared };
        launch(machine, function, dimensions, stream, Arguments { each, extra })
    })
}

/// Blocks of this machine run one after the other, so they cannot wait for each other.
#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchCooperativeKernel(
    _function: Handle,
    _grid_x: u32,
    _grid_y: u32,
    _grid_z: u32,
    _block_x: u32,
    _block_y: u32,
    _block_z: u32,
    _dynamic_shared: u32,
    _stream: Handle,
    _each: In<In<u8>>,
) -> Status {
    call(|_| Err(refuse(Status::NOT_SUPPORTED, "cooperative launches do not run on this machine")))
}

/// `CUlaunchConfig`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct LaunchConfig {
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub stream: Handle,
    pub attributes: In<LaunchAttribute>,
    pub attribute_count: u32,
}

/// `CUlaunchAttribute`: a number and 64 bytes of value.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct LaunchAttribute {
    pub id: u32,
    pub padding: u32,
    pub value: [u32; 16],
}

const COOPERATIVE: u32 = 2;
const CLUSTER_DIMENSION: u32 = 4;

#[unsafe(no_mangle)]
pub extern "C" fn cuLaunchKernelEx(
    config: In<LaunchConfig>,
    function: Handle,
    each: In<In<u8>>,
    extra: In<usize>,
) -> Status {
    call(|machine| {
        let config = config.get()?;
        for attribute in config.attributes.many(config.attribute_count as usize)? {
            let unsupported = match attribute.id {
                COOPERATIVE => attribute.value[0] != 0,
                CLUSTER_DIMENSION => attribute.value[..3].iter().any(|&n| n > 1),
                _ => false,
            };
            if unsupported {
                let text = "cooperative launches and clusters of more than one block do not run on this machine";
                return Err(refuse(Status::NOT_SUPPORTED, text));
            }
        }
        let LaunchConfig { grid, block, dynamic_shared, stream, .. } = config;
        let dimensions = Dimensions { grid, block, dynamic_shared };
        launch(machine, function, dimensions, stream, Arguments { each, extra })
    })
}
