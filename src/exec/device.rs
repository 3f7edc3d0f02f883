//! Which machine runs a graph: the value of `--device`.

use std::fmt;
use std::str::FromStr;

use crate::cuda;
use crate::cuda::library::Driver;
use crate::error::{Error, Result};

/// A machine by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
    /// A GPU by its number.
    Cuda(usize),
    /// The PTX machine: the GPU's kernels, run by the CPU.
    Vm,
}

impl FromStr for Device {
    type Err = Error;

    /// `cpu`, `cuda:N` (`cuda` is `cuda:0`), `vm`.
    fn from_str(name: &str) -> Result<Self> {
        let number = name.strip_prefix("cuda:").map(str::parse);
        match (name, number) {
            ("cpu", _) => Ok(Device::Cpu),
            ("vm", _) => Ok(Device::Vm),
            ("cuda", _) => Ok(Device::Cuda(0)),
            (_, Some(Ok(number))) => Ok(Device::Cuda(number)),
            _ => Err(Error::usage(format!("no device {name:?}; there are cpu, cuda:N and vm"))),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(number) => write!(f, "cuda:{number}"),
            Device::Vm => f.write_str("vm"),
        }
    }
}

impl Device {
    /// The CUDA device of this name, open; `None` for the CPU.
    ///
    /// # Errors
    /// There is no such driver or device, or it is too old.
    pub fn open(self) -> Result<Option<cuda::device::Device>> {
        match self {
            Device::Cpu => Ok(None),
            Device::Cuda(number) => cuda::device::Device::open(Driver::Nvidia, number).map(Some),
            Device::Vm => cuda::device::Device::open(Driver::PtxMachine, 0).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_machines() {
        for (name, device) in [
            ("cpu", Device::Cpu),
            ("vm", Device::Vm),
            ("cuda:0", Device::Cuda(0)),
            ("cuda:12", Device::Cuda(12)),
        ] {
            assert_eq!(name.parse::<Device>().expect(name), device);
            assert_eq!(device.to_string(), name);
        }
        assert_eq!("cuda".parse::<Device>().expect("the first GPU"), Device::Cuda(0));
        for name in ["gpu", "cuda:", "cuda:-1", "cuda:x", ""] {
            let error = name.parse::<Device>().expect_err(name).to_string();
            assert!(error.contains("cuda:N"), "{error}");
        }
    }
}
