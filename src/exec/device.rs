//! Which machine runs a graph: the value of `--device`.

use std::str::FromStr;

use crate::error::{Error, Result};

/// A machine by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    #[default]
    Cpu,
}

impl FromStr for Device {
    type Err = Error;

    /// `cpu`. `cuda:N` and `vm` are names of machines that are not built yet, and say so.
    fn from_str(name: &str) -> Result<Self> {
        match name {
            "cpu" => Ok(Device::Cpu),
            "vm" => Err(not_built(name)),
            cuda if cuda == "cuda" || cuda.starts_with("cuda:") => Err(not_built(name)),
            _ => Err(Error::usage(format!("no device {name:?}; there is cpu"))),
        }
    }
}

fn not_built(name: &str) -> Error {
    Error::usage(format!("the device {name} is not built yet; use --device cpu"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cpu_is_there() {
        assert_eq!("cpu".parse::<Device>().expect("cpu"), Device::Cpu);
        for name in ["cuda:0", "cuda:1", "vm"] {
            let error = name.parse::<Device>().expect_err(name);
            assert!(error.to_string().contains("not built yet"), "{error}");
        }
        assert!("gpu".parse::<Device>().is_err());
    }
}
