//! A device with buffers, and kernels from a text.

use ptx_vm::error::Fault;
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::memory::Memory;
use ptx_vm::module;
use ptx_vm::profile::Profile;
use ptx_vm::program::Program;
use ptx_vm::target::Target;

/// A device with one module.
pub struct Bench {
    pub memory: Memory,
    pub program: Program,
    pub options: Options,
}

impl Bench {
    /// Loads `body` between a header and nothing else.
    #[track_caller]
    pub fn new(body: &str) -> Self {
        let text = format!(".version 8.0\n.target sm_90a\n.address_size 64\n{body}");
        let memory = Memory::default();
        let program = module::load(&text, &memory).unwrap_or_else(|e| panic!("{e}"));
        let options = Options { threads: 2, races: true, ..Options::default() };
        Self { memory, program, options }
    }

    /// A buffer of `len` words, none written.
    pub fn unset(&self, len: usize) -> u64 {
        self.memory.allocate(4 * len as u64).expect("room")
    }

    pub fn words(&self, values: &[u32]) -> u64 {
        let address = self.unset(values.len());
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.memory.write(address, &bytes).expect("in bounds");
        address
    }

    pub fn read(&self, address: u64, len: usize) -> Vec<u32> {
        let mut bytes = vec![0; 4 * len];
        self.memory.read(address, &mut bytes).expect("in bounds");
        bytes.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// Runs the kernel `k` with 64-bit arguments.
    pub fn run(&self, grid: u32, block: u32, arguments: &[u64]) -> Result<Profile, Box<Fault>> {
        let bytes: Vec<u8> = arguments.iter().flat_map(|x| x.to_le_bytes()).collect();
        let dimensions = Dimensions { grid: [grid, 1, 1], block: [block, 1, 1], dynamic_shared: 0 };
        let kernel = &self.program.kernels["k"];
        let (view, target) = (self.memory.view(), Target::SM_90);
        Launch::new(&self.program, kernel, dimensions, &bytes, view, &self.options, &target)?.run()
    }
}
