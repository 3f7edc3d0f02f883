//! The table of kernels: every file of `kernels/` as PTX, and every kernel in it by number, so that
//! nothing is launched by its name. `build.rs` writes it.

/// What PTX was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compute {
    /// Compute capability 8.0 and every later one.
    Compute80,
    /// Compute capability 9.0 and no other: its own instructions are in it.
    Compute90a,
}

impl Compute {
    /// Whether a device of compute capability `major.minor` can run it.
    pub fn runs_on(self, (major, minor): (u32, u32)) -> bool {
        match self {
            Self::Compute80 => major >= 8,
            Self::Compute90a => (major, minor) == (9, 0),
        }
    }
}

/// A file of kernels, compiled.
#[derive(Clone, Copy, Debug)]
pub struct Ptx {
    pub compute: Compute,
    pub text: &'static str,
    /// The kernels in it.
    pub kernels: &'static [Kernel],
}

impl Module {
    /// What a device of compute capability `major.minor` should load: the PTX made most closely for
    /// it, or none if nothing was made that it can run.
    pub fn ptx(self, capability: (u32, u32)) -> Option<&'static Ptx> {
        let runs = self.variants().iter().filter(|ptx| ptx.compute.runs_on(capability));
        runs.max_by_key(|ptx| ptx.compute)
    }
}

include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

#[cfg(test)]
mod tests {
    use super::{Compute, Kernel, Module};

    #[test]
    fn every_kernel_is_in_its_module() {
        for kernel in Kernel::ALL {
            let entry = format!(".entry {}(", kernel.name());
            let variants = kernel.module().variants();
            assert!(variants.iter().any(|ptx| ptx.text.contains(&entry)), "{kernel:?}");
            for ptx in variants {
                assert_eq!(ptx.kernels.contains(&kernel), ptx.text.contains(&entry), "{kernel:?}");
            }
        }
        let entries = |text: &str| text.matches(".entry ").count();
        for ptx in Module::ALL.iter().flat_map(|module| module.variants()) {
            assert_eq!(entries(ptx.text), ptx.kernels.len());
        }
    }

    #[test]
    fn a_device_loads_what_it_can_run() {
        for module in Module::ALL {
            assert!(module.ptx((7, 5)).is_none());
            for capability in [(8, 0), (8, 9), (9, 0), (12, 0)] {
                let ptx = module.ptx(capability);
                assert!(ptx.is_none_or(|ptx| ptx.compute.runs_on(capability)));
            }
            let hopper = module.variants().iter().any(|ptx| ptx.compute == Compute::Compute90a);
            let loaded = module.ptx((9, 0)).map(|ptx| ptx.compute);
            assert_eq!(loaded == Some(Compute::Compute90a), hopper);
        }
    }
}
