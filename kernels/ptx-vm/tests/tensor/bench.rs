//! A device with buffers of words, and a kernel from a text.

use ptx_vm::error::{Fault, LoadError, Rule};
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::memory::Memory;
use ptx_vm::module;
use ptx_vm::profile::Profile;
use ptx_vm::program::Program;
use ptx_vm::random::Random;
use ptx_vm::shapes::Host;
use ptx_vm::target::Target;

/// What every text starts with: `%lane` is the thread, `%rd0` the first argument and `%rd1` that plus four bytes a
/// thread, `%rd2` and `%rd3` the same of the second argument, `%rd4` and `%rd5` of the third.
const HEAD: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n\
.visible .entry k(.param .u64 first, .param .u64 second, .param .u64 third) {\n\
.reg .pred %p<16>; .reg .b16 %h<16>; .reg .b32 %lane, %r<128>; .reg .f32 %f<256>; .reg .b64 %rd<64>;\n\
.shared .align 1024 .b8 tile[65536];\n\
mov.u32 %lane, %tid.x;\n\
ld.param.u64 %rd0, [first]; ld.param.u64 %rd2, [second]; ld.param.u64 %rd4, [third];\n\
mul.wide.u32 %rd1, %lane, 4; add.u64 %rd3, %rd2, %rd1; add.u64 %rd5, %rd4, %rd1; add.u64 %rd1, %rd0, %rd1;\n";

/// A device and a kernel.
pub struct Bench {
    pub memory: Memory,
    pub program: Program,
    pub options: Options,
}

/// Why a text is refused.
pub fn refused(body: &str) -> LoadError {
    let memory = Memory::default();
    match module::load(&format!("{HEAD}{body}\nret;\n}}"), &memory) {
        Err(error) => error,
        Ok(_) => panic!("this loads: {body}"),
    }
}

impl Bench {
    /// The kernel with this body. Races are watched.
    #[track_caller]
    pub fn new(body: &str) -> Self {
        Self::new_on(Host::detect(), body)
    }

    /// The same with the bodies that a kind of processor runs.
    #[track_caller]
    pub fn new_on(host: Host, body: &str) -> Self {
        let text = format!("{HEAD}{body}\nret;\n}}");
        let memory = Memory::default();
        let program = module::load_for(&text, &memory, host).unwrap_or_else(|e| panic!("{e}"));
        let options = Options { threads: 1, races: true, ..Options::default() };
        Self { memory, program, options }
    }

    /// The same with asynchronous effects at the last moment and warps in the order of `seed`.
    pub fn adversarial(mut self, seed: u64) -> Self {
        self.options.adversarial = Some(seed);
        self
    }

    pub fn counting(mut self) -> Self {
        self.options.counts = true;
        self
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

    /// Runs one block of `threads`.
    pub fn run(&self, threads: u32, arguments: [u64; 3]) -> Result<Profile, Box<Fault>> {
        let bytes: Vec<u8> = arguments.iter().flat_map(|x| x.to_le_bytes()).collect();
        let dimensions = Dimensions { grid: [1, 1, 1], block: [threads, 1, 1], dynamic_shared: 0 };
        let kernel = &self.program.kernels["k"];
        let (view, target) = (self.memory.view(), Target::SM_90);
        Launch::new(&self.program, kernel, dimensions, &bytes, view, &self.options, &target)?.run()
    }

    /// Runs it and expects no fault.
    #[track_caller]
    pub fn passes(&self, threads: u32, arguments: [u64; 3]) -> Profile {
        self.run(threads, arguments).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Runs it and expects this rule to be broken.
    #[track_caller]
    pub fn breaks(&self, threads: u32, arguments: [u64; 3], rule: Rule) -> Box<Fault> {
        match self.run(threads, arguments) {
            Ok(_) => panic!("no fault where {rule:?} was expected"),
            Err(fault) => {
                assert_eq!(fault.rule, rule, "{fault}");
                fault
            }
        }
    }
}

/// `count` words of the stream.
pub fn random(stream: &mut Random, count: usize) -> Vec<u32> {
    (0..count).map(|_| stream.next() as u32).collect()
}
