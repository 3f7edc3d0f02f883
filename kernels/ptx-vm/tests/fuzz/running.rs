//! What parses goes on: it is loaded, and what loads is launched.

use std::sync::{Arc, Mutex};

use ptx_vm::error::Rule;
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::memory::Memory;
use ptx_vm::module;
use ptx_vm::program::{Kernel, Program};
use ptx_vm::target::Target;

/// Bytes of the device.
const DEVICE: u64 = 8 << 20;
/// Bytes that every pointer among the arguments has behind it.
const BUFFER: usize = 1 << 14;
/// Warp instructions of a launch.
const INSTRUCTIONS: u64 = 20_000;

/// How far a text came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Refused by the decoder.
    Parsed,
    /// Loaded; so many launches ran to the end, so many broke a rule.
    Loaded { passed: u32, broken: u32 },
}

/// Loads a text and launches each of its kernels; `index` varies block, checks and the order of warps.
pub fn load_and_launch(text: &str, index: u64) -> Reached {
    let memory = Memory::new(DEVICE);
    let buffer = memory.allocate(BUFFER as u64).expect("room");
    memory.write(buffer, &[1; BUFFER]).expect("in bounds");
    let free = memory.capacity().1;
    let lines = text.lines().count() as u32;
    let program = match module::load(text, &memory) {
        Ok(program) => program,
        Err(error) => {
            assert!(error.line <= lines + 1, "line {} of {lines}", error.line);
            assert!(!error.message.is_empty() && error.message.len() < 500, "{}", error.message);
            assert_eq!(memory.capacity().1, free, "a refused module keeps memory");
            return Reached::Parsed;
        }
    };
    let (mut passed, mut broken) = (0, 0);
    let mut kernels: Vec<_> = program.kernels.values().collect();
    kernels.sort_by(|a, b| a.name.cmp(&b.name));
    for kernel in kernels {
        match launch(&program, kernel, &memory, buffer, index) {
            None => passed += 1,
            Some(line) => {
                assert!(line <= lines, "line {line} of {lines}");
                broken += 1;
            }
        }
    }
    module::unload(&program, &memory);
    assert_eq!(memory.capacity().1, free, "an unloaded module keeps memory");
    Reached::Loaded { passed, broken }
}

/// Line of the rule broken, if one was.
fn launch(
    program: &Program,
    kernel: &Kernel,
    memory: &Memory,
    buffer: u64,
    index: u64,
) -> Option<u32> {
    let options = Options {
        threads: 1,
        races: index.is_multiple_of(2),
        counts: index.is_multiple_of(3),
        adversarial: (index.is_multiple_of(4)).then_some(index),
        printed: Some(Arc::<Mutex<Vec<u8>>>::default()),
        instruction_limit: Some(INSTRUCTIONS),
        ..Options::default()
    };
    let dynamic_shared = [0, 4096][index as usize / 5 % 2];
    let block = kernel.exact_threads.unwrap_or([[32, 1, 1], [8, 8, 1]][index as usize / 7 % 2]);
    let dimensions = Dimensions { grid: [1; 3], block, dynamic_shared };
    let launch = Launch::new(
        program,
        kernel,
        dimensions,
        &arguments(kernel, buffer),
        memory.view(),
        &options,
        &Target::SM_90,
    );
    let fault = launch.and_then(|launch| launch.run()).err()?;
    assert!(fault.rule == Rule::Launch || !fault.to_string().is_empty());
    assert!(
        fault.line > 0 || matches!(fault.rule, Rule::Launch | Rule::InstructionLimit),
        "{fault}"
    );
    Some(fault.line)
}

/// Pointers for what has eight bytes, a small number for everything else.
fn arguments(kernel: &Kernel, buffer: u64) -> Vec<u8> {
    let mut bytes = vec![0; kernel.parameter_bytes as usize];
    for &(offset, size) in &kernel.parameters {
        let place = &mut bytes[offset as usize..(offset + size) as usize];
        match size {
            8 => place.copy_from_slice(&buffer.to_le_bytes()),
            1.. => place[0] = 40,
            0 => {}
        }
    }
    bytes
}
