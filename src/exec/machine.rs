//! A machine that is there and ready: what makes sessions.

use std::rc::Rc;

use super::cpu::CpuSession;
use super::cuda::CudaSession;
use super::device::Device;
use super::session::Session;
use crate::cuda;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::graph::{Graph, Reverse};

/// The CPU or a CUDA device. Copies share the device.
#[derive(Clone)]
pub enum Machine {
    /// In f32.
    Cpu,
    /// The CPU in f64, to compare with.
    CpuInDouble,
    Cuda {
        device: Rc<cuda::device::Device>,
        precision: Precision,
    },
}

impl Machine {
    /// Opens a device. It computes in `precision`: f32 (if nothing is said) or f64 on the CPU, bf16
    /// (if nothing is said) or f32 on CUDA devices.
    ///
    /// # Errors
    /// There is no such driver or device, or it is too old; a precision that it has not.
    pub fn open(device: Device, precision: Option<&str>) -> Result<Self> {
        match (device.open()?, precision) {
            (None, None | Some("f32")) => Ok(Machine::Cpu),
            (None, Some("f64")) => Ok(Machine::CpuInDouble),
            (None, Some(other)) => Err(Error::usage(format!(
                "the CPU computes in f32 or f64, not in {other}; bf16 is for --device cuda:N and vm"
            ))),
            (Some(device), precision) => {
                let precision = precision.map_or(Ok(Precision::Bf16), str::parse)?;
                Ok(Machine::Cuda { device: Rc::new(device), precision })
            }
        }
    }

    /// A session for `graph`; `seed` keys the random numbers of dropout. Without `reverse` nothing
    /// is kept for a backward pass.
    ///
    /// # Errors
    /// Too little memory on a device.
    pub fn session(
        &self,
        graph: Graph,
        reverse: Option<Reverse>,
        seed: u64,
    ) -> Result<Box<dyn Session>> {
        match self {
            Machine::Cpu => Ok(Box::new(CpuSession::<f32>::new(graph, reverse, seed))),
            Machine::CpuInDouble => Ok(Box::new(CpuSession::<f64>::new(graph, reverse, seed))),
            Machine::Cuda { device, precision } => {
                let session = CudaSession::new(device.clone(), graph, reverse, seed, *precision)?;
                Ok(Box::new(session))
            }
        }
    }

    /// Bytes of a number, if it lies in the CPU's memory.
    pub fn width_on_cpu(&self) -> Option<usize> {
        match self {
            Machine::Cpu => Some(size_of::<f32>()),
            Machine::CpuInDouble => Some(size_of::<f64>()),
            Machine::Cuda { .. } => None,
        }
    }
}
