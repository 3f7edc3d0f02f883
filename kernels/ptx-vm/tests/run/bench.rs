//! A device with buffers, and kernels from a text.
#![allow(dead_code, reason = "each test program uses its part")]

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ptx_vm::error::{Fault, LoadError, Rule, Thread};
use ptx_vm::launch::{Dimensions, Launch, Options};
use ptx_vm::memory::Memory;
use ptx_vm::module;
use ptx_vm::profile::Profile;
use ptx_vm::program::Program;
use ptx_vm::shapes::Host;
use ptx_vm::target::Target;

const HEADER: &str = ".version 8.0\n.target sm_90a\n.address_size 64\n";

/// A device with one module.
pub struct Bench {
    pub memory: Memory,
    pub text: String,
    pub program: Program,
    pub options: Options,
}

/// The kernel `k(a, b)` around statements, with registers of every type: `%r1` is the thread in its block, `%r2` the
/// block, `%r4` the thread in the grid, `%rd1` and `%rd2` are `a` and `b`, `%rd4` and `%rd5` the thread's own word in each.
pub fn kernel(statements: &str) -> String {
    format!(
        ".visible .entry k(.param .u64 a, .param .u64 b) {{
        .reg .pred %p<8>; .reg .b16 %h<16>; .reg .b32 %r<40>; .reg .b64 %rd<24>;
        .reg .f32 %f<8>; .reg .f64 %fd<8>;
        ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b];
        mov.u32 %r1, %tid.x; mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x;
        mad.lo.s32 %r4, %r2, %r3, %r1; mul.wide.u32 %rd3, %r4, 4;
        add.s64 %rd4, %rd1, %rd3; add.s64 %rd5, %rd2, %rd3;
        {statements}
        ret;
        }}"
    )
}

/// Why a text is refused.
#[track_caller]
pub fn refused(text: &str) -> LoadError {
    let memory = Memory::new(1 << 20);
    let free = memory.capacity().1;
    let error = module::load(&format!("{HEADER}{text}"), &memory).err().expect("a refused text");
    assert_eq!(memory.capacity().1, free, "nothing stays allocated");
    error
}

impl Bench {
    /// Loads `text` behind a header.
    #[track_caller]
    pub fn new(text: &str) -> Self {
        Self::whole(format!("{HEADER}{text}"))
    }

    #[track_caller]
    fn whole(text: String) -> Self {
        Self::on(Host::detect(), text)
    }

    /// Loads `text` behind a header, with the bodies that a kind of processor runs.
    #[track_caller]
    pub fn new_on(host: Host, text: &str) -> Self {
        Self::on(host, format!("{HEADER}{text}"))
    }

    #[track_caller]
    fn on(host: Host, text: String) -> Self {
        let memory = Memory::default();
        let program = module::load_for(&text, &memory, host).unwrap_or_else(|e| panic!("{e}"));
        let options = Options { threads: 1, races: true, ..Options::default() };
        Self { memory, text, program, options }
    }

    /// Loads [`kernel`] around `statements`, `module` in front of it.
    #[track_caller]
    pub fn kernel(module: &str, statements: &str) -> Self {
        Self::new(&format!("{module}\n{}", kernel(statements)))
    }

    /// Loads a text of nvcc's.
    pub fn fixture(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        Self::whole(fs::read_to_string(folder.join(name)).expect("a fixture"))
    }

    /// A buffer of `len` words, none written.
    pub fn unset(&self, len: usize) -> u64 {
        self.memory.allocate(4 * len.max(1) as u64).expect("room")
    }

    pub fn words(&self, values: &[u32]) -> u64 {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    pub fn bytes(&self, bytes: &[u8]) -> u64 {
        let address = self.memory.allocate(bytes.len().max(1) as u64).expect("room");
        self.memory.write(address, bytes).expect("in bounds");
        address
    }

    pub fn read(&self, address: u64, len: usize) -> Vec<u32> {
        let bytes = self.read_bytes(address, 4 * len);
        bytes.chunks(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    pub fn read_bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read(address, &mut bytes).expect("in bounds");
        bytes
    }

    /// Runs the kernel `k` with 64-bit arguments.
    pub fn run(&self, grid: u32, block: u32, arguments: &[u64]) -> Result<Profile, Box<Fault>> {
        let bytes: Vec<u8> = arguments.iter().flat_map(|x| x.to_le_bytes()).collect();
        let dimensions = Dimensions { grid: [grid, 1, 1], block: [block, 1, 1], dynamic_shared: 0 };
        self.launch("k", dimensions, &bytes)
    }

    pub fn launch(
        &self,
        kernel: &str,
        dimensions: Dimensions,
        arguments: &[u8],
    ) -> Result<Profile, Box<Fault>> {
        let kernel = &self.program.kernels[kernel];
        let (view, target) = (self.memory.view(), Target::SM_90);
        Launch::new(&self.program, kernel, dimensions, arguments, view, &self.options, &target)?
            .run()
    }

    /// Runs a launch that breaks a rule.
    #[track_caller]
    pub fn fault(&self, grid: u32, block: u32, arguments: &[u64]) -> Fault {
        match self.run(grid, block, arguments) {
            Err(fault) => *fault,
            Ok(_) => panic!("no rule was broken"),
        }
    }

    /// Runs a launch that breaks none.
    #[track_caller]
    pub fn pass(&self, grid: u32, block: u32, arguments: &[u64]) {
        if let Err(fault) = self.run(grid, block, arguments) {
            panic!("{fault}");
        }
    }

    /// What kernels print from now on.
    pub fn printed(&mut self) -> Arc<Mutex<Vec<u8>>> {
        let printed = Arc::<Mutex<Vec<u8>>>::default();
        self.options.printed = Some(printed.clone());
        printed
    }

    /// Line of the only instruction that starts so.
    #[track_caller]
    pub fn line(&self, instruction: &str) -> u32 {
        let lines = self.text.lines().enumerate();
        let found: Vec<usize> =
            lines.filter(|(_, line)| line.contains(instruction)).map(|(i, _)| i + 1).collect();
        assert_eq!(found.len(), 1, "`{instruction}` stands in lines {found:?}");
        found[0] as u32
    }

    /// The fault names the rule, the kernel, the line of `instruction` and the line's text; block and thread on the x axis.
    #[track_caller]
    pub fn assert_at(&self, fault: &Fault, rule: Rule, instruction: &str, place: (u32, u32)) {
        assert_eq!(fault.rule, rule, "{fault}");
        assert_eq!(fault.kernel, "k");
        assert_eq!(fault.line, self.line(instruction), "{fault}");
        let line = self.text.lines().nth(fault.line as usize - 1).expect("a line");
        assert_eq!(fault.text, line.trim());
        let thread = Thread { block: [place.0, 0, 0], thread: [place.1, 0, 0] };
        assert_eq!(fault.thread, Some(thread), "{fault}");
    }
}

/// What each thread leaves in its word of `a`, which starts as 7777; `b` holds the words given. The same with one host
/// thread and two, in the random orders of twenty seeds, and with the bodies for any processor.
#[track_caller]
pub fn results(module: &str, statements: &str, (grid, block): (u32, u32), b: &[u32]) -> Vec<u32> {
    let text = format!("{module}\n{}", kernel(statements));
    let mut last: Option<Vec<u32>> = None;
    let mut run = |bench: &Bench, what: &str| {
        let count = (grid * block) as usize;
        let arguments = [bench.words(&vec![7777; count]), bench.words(b)];
        bench.pass(grid, block, &arguments);
        let words = bench.read(arguments[0], count);
        if let Some(last) = &last {
            assert_eq!(&words, last, "{what}");
        }
        last = Some(words);
        arguments.iter().for_each(|address| bench.memory.free(*address).expect("allocated"));
    };
    run(&Bench::new_on(Host::Any, &text), "on any host");
    let mut bench = Bench::new(&text);
    for seed in std::iter::once(None).chain((1..=20).map(Some)) {
        for threads in [1, 2] {
            bench.options.threads = threads;
            bench.options.adversarial = seed;
            run(&bench, &format!("seed {seed:?}, {threads} host threads"));
        }
    }
    last.unwrap_or_default()
}
