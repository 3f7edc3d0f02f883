//! One operation counted, and sums of such.

use std::ops::AddAssign;

use crformer::cuda::arguments::Layout;
use crformer::cuda::device::Device;
use crformer::cuda::kernels::Kernel;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use serde::Serialize;

use crate::counted::{self, Counted, OfKernel, SECTOR};
use crate::least;
use crate::memory;
use crate::work::{Direction, Work};

/// What was counted and the least there is to do.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    pub counted: Counted,
    pub least_bytes: u64,
    /// Useful operations of matrix products, and those that were issued for them.
    pub useful: u64,
    pub issued: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.counted += other.counted;
        self.least_bytes += other.least_bytes;
        self.useful += other.useful;
        self.issued += other.issued;
    }
}

impl Figures {
    pub fn times(self, times: u64) -> Self {
        Self {
            counted: self.counted.times(times),
            least_bytes: self.least_bytes * times,
            useful: self.useful * times,
            issued: self.issued * times,
        }
    }

    /// Bytes asked for against the least.
    pub fn asked(&self) -> f64 {
        ratio(self.counted.bytes, self.least_bytes)
    }

    /// Bytes of sectors against bytes asked for.
    pub fn sectors(&self) -> f64 {
        ratio(self.counted.sectors * SECTOR, self.counted.bytes)
    }

    pub fn memory_bytes(&self) -> u64 {
        self.counted.memory_sectors * SECTOR
    }

    /// Bytes between the cache and memory against the least.
    pub fn memory(&self) -> f64 {
        ratio(self.memory_bytes(), self.least_bytes)
    }

    pub fn wavefronts(&self) -> f64 {
        ratio(self.counted.wavefronts, self.counted.wavefronts_least)
    }

    pub fn tensor(&self) -> f64 {
        ratio(self.issued, self.useful)
    }

    /// Operations on tensor cores among those and instructions of lanes on f32 numbers.
    pub fn tensor_share(&self) -> f64 {
        let Counted { tensor, float, approximate, .. } = self.counted;
        tensor as f64 / (tensor + float + approximate).max(1) as f64
    }
}

/// Of two counts; 1 of nothing and nothing.
pub fn ratio(a: u64, b: u64) -> f64 {
    if a == 0 && b == 0 { 1.0 } else { a as f64 / b as f64 }
}

/// One operation in one direction.
pub struct Measured {
    pub work: Work,
    pub figures: Figures,
    pub kernels: Vec<OfKernel>,
}

/// Runs an operation on the machine, from an empty cache.
pub fn measure(device: &Device, precision: Precision, work: Work) -> Result<Measured> {
    let mut memory = memory::filled(device, precision, &work)?;
    let backward = work.direction == Direction::Backward;
    if backward {
        memory.forward()?;
        device.synchronize()?;
    }
    counted::begin()?;
    if backward { memory.backward() } else { memory.forward() }?;
    device.synchronize()?;
    memory.free_workspaces();
    let counted = counted::end()?;
    let useful = least::products(&work);
    let figures = Figures {
        counted: counted.sum,
        least_bytes: least::bytes(&work, precision),
        useful: useful.unwrap_or(0),
        issued: if useful.is_some() { counted.sum.tensor } else { 0 },
    };
    drop(memory);
    Ok(Measured { work, figures, kernels: counted.kernels })
}

/// What an operation would launch: recorded, not run.
pub fn launches(
    device: &Device,
    precision: Precision,
    work: &Work,
) -> Result<Vec<Option<(Kernel, Layout)>>> {
    let memory = memory::filled(device, precision, work)?;
    let capture = device.capture(|| match work.direction {
        Direction::Backward => memory.backward(),
        _ => memory.forward(),
    })?;
    device.recorded(&capture)
}
