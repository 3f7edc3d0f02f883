//! What the PTX machine counted.

use std::ops::AddAssign;

use crformer::cuda::library::{machine_counts, reset_machine_counts, set_machine};
use crformer::error::Result;
use serde::Deserialize;
use serde_json::Value;

/// Bytes of a sector.
pub const SECTOR: u64 = 32;

/// The counts of some launches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counted {
    pub launches: u64,
    /// Global bytes that lanes asked for, and the sectors they lay in.
    pub bytes: u64,
    pub sectors: u64,
    /// Sectors between the 50 MB cache and memory, what is written in it included.
    pub memory_sectors: u64,
    pub wavefronts: u64,
    pub wavefronts_least: u64,
    /// Operations of matrix products on tensor cores, an addition and a multiplication counted as two.
    pub tensor: u64,
    /// Instructions of lanes on f32 numbers, and those of the special function unit (`ex2`, `tanh`, ...).
    pub float: u64,
    pub approximate: u64,
    /// Instructions of warps.
    pub warps: u64,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.launches += other.launches;
        self.bytes += other.bytes;
        self.sectors += other.sectors;
        self.memory_sectors += other.memory_sectors;
        self.wavefronts += other.wavefronts;
        self.wavefronts_least += other.wavefronts_least;
        self.tensor += other.tensor;
        self.float += other.float;
        self.approximate += other.approximate;
        self.warps += other.warps;
    }
}

impl Counted {
    pub fn times(self, times: u64) -> Self {
        Self {
            launches: self.launches * times,
            bytes: self.bytes * times,
            sectors: self.sectors * times,
            memory_sectors: self.memory_sectors * times,
            wavefronts: self.wavefronts * times,
            wavefronts_least: self.wavefronts_least * times,
            tensor: self.tensor * times,
            float: self.float * times,
            approximate: self.approximate * times,
            warps: self.warps * times,
        }
    }
}

/// Of one kernel.
#[derive(Clone, Debug)]
pub struct OfKernel {
    pub kernel: String,
    pub counted: Counted,
}

/// All kernels of some work, and the sum.
#[derive(Clone, Debug, Default)]
pub struct OfWork {
    pub kernels: Vec<OfKernel>,
    pub sum: Counted,
    /// Calls of the host that gave a stream work.
    pub calls: u64,
}

#[derive(Deserialize)]
struct Machine {
    kernels: Vec<Kernel>,
    sectors_in_cache: u64,
    calls: u64,
}

#[derive(Deserialize)]
struct Kernel {
    kernel: String,
    launches: u64,
    warp_instructions: u64,
    tensor_operations: u64,
    families: Value,
    global: Option<Global>,
    dram_sectors: Option<Dram>,
    shared: Option<Shared>,
}

#[derive(Deserialize)]
struct Global {
    loads: Traffic,
    stores: Traffic,
    atomics: Traffic,
}

#[derive(Deserialize)]
struct Traffic {
    bytes: u64,
    sectors: u64,
}

#[derive(Deserialize)]
struct Dram {
    read: u64,
    written: u64,
}

#[derive(Deserialize)]
struct Shared {
    wavefronts: u64,
    wavefronts_least: u64,
}

impl Kernel {
    fn counted(&self) -> Counted {
        let traffic = self.global.iter().flat_map(|g| [&g.loads, &g.stores, &g.atomics]);
        let (bytes, sectors) =
            traffic.fold((0, 0), |(bytes, sectors), t| (bytes + t.bytes, sectors + t.sectors));
        let lanes = |family: &str| self.families[family]["lanes"].as_u64().unwrap_or(0);
        Counted {
            launches: self.launches,
            bytes,
            sectors,
            memory_sectors: self.dram_sectors.as_ref().map_or(0, |d| d.read + d.written),
            wavefronts: self.shared.as_ref().map_or(0, |s| s.wavefronts),
            wavefronts_least: self.shared.as_ref().map_or(0, |s| s.wavefronts_least),
            tensor: self.tensor_operations,
            float: lanes("float"),
            approximate: lanes("approximate"),
            warps: self.warp_instructions,
        }
    }
}

/// Counts from zero, behind an empty cache.
pub fn begin() -> Result<()> {
    set_machine("counts=1 cache=50M")?;
    reset_machine_counts()
}

/// What was counted since.
pub fn end() -> Result<OfWork> {
    let counts: Machine =
        serde_json::from_str(&machine_counts()?).expect("the machine's JSON is as it is here");
    let of =
        |kernel: &Kernel| OfKernel { kernel: kernel.kernel.clone(), counted: kernel.counted() };
    let kernels: Vec<OfKernel> = counts.kernels.iter().map(of).collect();
    let mut sum = Counted { memory_sectors: counts.sectors_in_cache, ..Counted::default() };
    kernels.iter().for_each(|kernel| sum += kernel.counted);
    Ok(OfWork { kernels, sum, calls: counts.calls })
}
