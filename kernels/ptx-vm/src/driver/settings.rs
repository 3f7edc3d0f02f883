//! What the machine checks and stands in for: from the environment at `cuInit`, later through `ptxvm_options`.

use std::sync::Arc;

use crate::launch::Options;
use crate::memory::Cache;
use crate::target::Target;

/// The second-level cache of an H100.
const CACHE_BYTES: u64 = 50 << 20;

/// Names of settings, each with what it takes. In the environment `races` is `PTX_VM_RACES`.
pub const NAMES: &[(&str, &str)] = &[
    ("written", "1 or 0: reads of memory nobody wrote are faults (1)"),
    ("races", "1 or 0: unordered accesses to one word are faults (0)"),
    ("counts", "1 or 0: counts of all launches are kept for ptxvm_counts (0)"),
    ("cache", "bytes of the second-level cache that counted traffic goes through, also 50M (50M)"),
    (
        "adversarial",
        "a seed, or off: warps in random order, asynchronous work as late as allowed (off)",
    ),
    ("threads", "host threads a launch is spread over (all)"),
    ("instructions", "warp instructions a block may run, or off (2^36)"),
    (
        "sticky",
        "1 or 0: after a fault every call fails until the context is reset, as on a GPU (0)",
    ),
    ("quiet", "1 or 0: reports are kept for ptxvm_last_report only, not written to stderr (0)"),
    ("target", "sm_80, sm_89 or sm_90; before cuInit only (sm_90)"),
    ("memory", "bytes of device memory, also 512M or 8G; before cuInit only (8G)"),
];

/// All settings.
#[derive(Debug, Clone)]
pub struct Settings {
    pub options: Options,
    pub sticky: bool,
    pub quiet: bool,
    pub target: Target,
    pub memory: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let options = Options::default();
        Self { options, sticky: false, quiet: false, target: Target::SM_90, memory: 8 << 30 }
    }
}

impl Settings {
    /// The defaults changed by `PTX_VM_*`, as `read` finds them.
    ///
    /// # Errors
    /// The variable with a value that means nothing.
    pub fn from_environment(read: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let mut settings = Self::default();
        for (name, _) in NAMES {
            let variable = format!("PTX_VM_{}", name.to_uppercase());
            if let Some(value) = read(&variable) {
                settings.set(name, &value).map_err(|e| format!("{variable}: {e}"))?;
            }
        }
        Ok(settings)
    }

    /// Changes settings while the device is in use: `races=1 adversarial=off`, parted by spaces or commas.
    ///
    /// # Errors
    /// What is wrong; nothing is changed then.
    pub fn change(&mut self, text: &str) -> Result<(), String> {
        let mut changed = self.clone();
        for part in text.split([' ', ',', '\n']).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("{part}: expected name=value"))?;
            if matches!(name, "target" | "memory") {
                return Err(format!("{name}: fixed once the driver is initialised"));
            }
            changed.set(name, value)?;
        }
        *self = changed;
        Ok(())
    }

    /// Sets one of [`NAMES`].
    ///
    /// # Errors
    /// What was expected and what was found.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let value = value.trim();
        let options = &mut self.options;
        match name {
            "written" => options.written = switch(name, value)?,
            "races" => options.races = switch(name, value)?,
            "counts" => {
                options.counts = switch(name, value)?;
                let cache = options.cache.take().filter(|_| options.counts);
                options.cache =
                    cache.or_else(|| options.counts.then(|| Arc::new(Cache::new(CACHE_BYTES))));
            }
            "cache" => options.cache = Some(Arc::new(Cache::new(bytes(name, value)?))),
            "sticky" => self.sticky = switch(name, value)?,
            "quiet" => self.quiet = switch(name, value)?,
            "adversarial" => options.adversarial = number_or_off(name, value)?,
            "instructions" => options.instruction_limit = number_or_off(name, value)?,
            "threads" => {
                options.threads = number(name, value)?.clamp(1, 1024) as usize;
            }
            "target" => self.target = target(value)?,
            "memory" => self.memory = bytes(name, value)?,
            _ => {
                let names: Vec<_> = NAMES.iter().map(|(name, _)| *name).collect();
                return Err(format!("{name}: no such setting; there are {}", names.join(", ")));
            }
        }
        Ok(())
    }
}

/// `sm_80`, `sm_89` or `sm_90`.
///
/// # Errors
/// Another name.
pub fn target(value: &str) -> Result<Target, String> {
    match value {
        "sm_80" => Ok(Target::SM_80),
        "sm_89" => Ok(Target::SM_89),
        "sm_90" | "sm_90a" => Ok(Target::SM_90),
        _ => Err(format!("target {value}: expected sm_80, sm_89 or sm_90")),
    }
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "on" => Ok(true),
        "0" | "off" => Ok(false),
        _ => Err(format!("{name}={value}: expected 1 or 0")),
    }
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{name}={value}: expected a whole number"))
}

fn number_or_off(name: &str, value: &str) -> Result<Option<u64>, String> {
    if value == "off" { Ok(None) } else { number(name, value).map(Some) }
}

fn bytes(name: &str, value: &str) -> Result<u64, String> {
    let (digits, unit) = match value.chars().last() {
        Some('K') => (&value[..value.len() - 1], 1 << 10),
        Some('M') => (&value[..value.len() - 1], 1 << 20),
        Some('G') => (&value[..value.len() - 1], 1 << 30),
        _ => (value, 1u64),
    };
    let count: u64 =
        digits.parse().map_err(|_| format!("{name}={value}: expected bytes, 512M or 8G"))?;
    count.checked_mul(unit).ok_or_else(|| format!("{name}={value}: more than 64 bits"))
}
