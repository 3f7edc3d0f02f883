//! What the compiler says of every kernel, by `kernels/ptxas.sh`, and how many blocks a multiprocessor then holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crformer::cuda::arguments::Layout;
use crformer::cuda::kernels::{Compute, Module};

/// A generation of devices: what a multiprocessor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub name: &'static str,
    shared: u64,
}

pub const TARGETS: [Target; 2] =
    [Target { name: "sm_80", shared: 164 << 10 }, Target { name: "sm_90a", shared: 228 << 10 }];

const REGISTERS: u32 = 65_536;
const THREADS: u32 = 2048;
const BLOCKS: u32 = 32;
/// Registers are given to a warp in units of 256, warps' places in units of 4.
const REGISTER_UNIT: u32 = 256;
const WARP_UNIT: u32 = 4;
/// Of shared memory the system takes 1 KiB a block; the rest comes in units of 128 bytes.
const SYSTEM_SHARED: u64 = 1 << 10;
const SHARED_UNIT: u64 = 128;

/// What a kernel takes.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub registers: u32,
    pub shared: u64,
    pub stack: u64,
    pub spilled: u64,
}

impl Taken {
    /// Blocks of a launch that a multiprocessor holds.
    pub fn blocks(&self, target: Target, layout: Layout) -> u32 {
        let warps = layout.block.iter().product::<u32>().div_ceil(32);
        let of_warp = (self.registers * 32).next_multiple_of(REGISTER_UNIT).max(REGISTER_UNIT);
        let by_registers = REGISTERS / of_warp / WARP_UNIT * WARP_UNIT / warps;
        let shared = self.shared + u64::from(layout.shared) + SYSTEM_SHARED;
        let by_shared = (target.shared / shared.next_multiple_of(SHARED_UNIT)) as u32;
        BLOCKS.min(THREADS / (32 * warps)).min(by_registers).min(by_shared)
    }
}

/// Of every kernel, by target and name.
pub type AllTaken = BTreeMap<(&'static str, String), Taken>;

/// Asks the assembler about the PTX that this program was built with.
///
/// # Errors
/// One line: there is no assembler, or it refused something.
pub fn ask() -> Result<AllTaken, String> {
    let folder = tempfile::tempdir().map_err(|error| format!("a folder for PTX: {error}"))?;
    for module in Module::ALL {
        for ptx in module.variants() {
            let compute = match ptx.compute {
                Compute::Compute80 => "compute_80",
                Compute::Compute90a => "compute_90a",
            };
            let path = folder.path().join(format!("{module:?}.{compute}.ptx"));
            std::fs::write(&path, ptx.text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels/ptxas.sh");
    let output = Command::new(&script).arg(folder.path()).output();
    let output = output.map_err(|error| format!("{}: {error}", script.display()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse).collect()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// `sm_80 NAME 40 registers 0 bytes shared 0 bytes of stack 0 bytes spilled`
fn parse(line: &str) -> Option<((&'static str, String), Taken)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [device, kernel, registers, _, shared, _, _, stack, _, _, _, spilled, _, _] = words[..]
    else {
        return None;
    };
    let target = TARGETS.iter().find(|target| target.name == device)?;
    let taken = Taken {
        registers: registers.parse().ok()?,
        shared: shared.parse().ok()?,
        stack: stack.parse().ok()?,
        spilled: spilled.parse().ok()?,
    };
    Some(((target.name, kernel.to_owned()), taken))
}

/// Instructions in the PTX that add floats in memory in no fixed order.
pub fn float_atomics() -> usize {
    let texts = Module::ALL.iter().flat_map(|module| module.variants()).map(|ptx| ptx.text);
    let is_one = |word: &&str| {
        let atomic = word.starts_with("atom.") || word.starts_with("red.");
        let float = [".f16", ".bf16", ".f32", ".f64"].iter().any(|kind| word.contains(kind));
        atomic && float && word.contains(".add")
    };
    texts.map(|text| text.split_whitespace().filter(is_one).count()).sum()
}
