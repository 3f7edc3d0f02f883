//! Which CUDA driver library this process talks to: NVIDIA's, or the PTX machine that shows itself as one.

use std::ffi::{CString, c_char};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::error::{Error, Result};

/// A driver library by what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// NVIDIA's, installed on the system.
    Nvidia,
    /// `kernels/ptx-vm`: runs the same PTX on the CPU.
    PtxMachine,
}

/// File name of the machine's driver library.
const MACHINE_FILE: &str = "libptx_vm.so";
/// Names another place for it.
const MACHINE_VARIABLE: &str = "CRFORMER_PTX_VM";

/// What the process has chosen; a driver library stays for as long as the process lives.
static CHOSEN: Mutex<Option<(Driver, Option<Library>)>> = Mutex::new(None);

/// Makes `driver` the one that every later driver call goes to.
///
/// # Errors
/// The other one is in use already, or the machine's library is not where it should be.
pub fn choose(driver: Driver) -> Result<()> {
    let mut chosen = CHOSEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    match &*chosen {
        Some((other, _)) if *other == driver => return Ok(()),
        Some(_) => {
            let message =
                "a process runs on GPUs or on the PTX machine, not on both; start another one";
            return Err(Error::usage(message));
        }
        None => {}
    }
    let library = match driver {
        Driver::Nvidia => None,
        Driver::PtxMachine => Some(load(&machine_path()?)?),
    };
    *chosen = Some((driver, library));
    Ok(())
}

/// The machine's report of the last broken rule, if the machine runs and has one.
pub fn machine_report() -> Option<String> {
    type LastReport = unsafe extern "C" fn(*mut u8, usize) -> usize;
    let chosen = CHOSEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (_, Some(library)) = chosen.as_ref()? else { return None };
    // SAFETY: the machine's library defines the function with this type; it writes at most as many
    // bytes as it is told there are and says how many the report has.
    let report = unsafe { library.get::<LastReport>(b"ptxvm_last_report\0") }.ok()?;
    let mut text = vec![0u8; 4096];
    // SAFETY: as above.
    let length = unsafe { report(text.as_mut_ptr(), text.len()) };
    text.truncate(length.min(4096));
    (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into_owned())
}

/// Changes what the machine checks and counts: `races=1 adversarial=7 counts=1` (see its README).
///
/// # Errors
/// The machine does not run in this process, or refuses a setting.
pub fn set_machine(settings: &str) -> Result<()> {
    type Options = unsafe extern "C" fn(*const c_char) -> i32;
    let chosen = CHOSEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some((_, Some(library))) = chosen.as_ref() else {
        return Err(Error::usage("settings are for the PTX machine, which does not run here"));
    };
    let wrong = |why: String| Error::usage(format!("setting {settings:?}: {why}"));
    let text = CString::new(settings).map_err(|error| wrong(error.to_string()))?;
    // SAFETY: the machine's library defines the function with this type.
    let options = unsafe { library.get::<Options>(b"ptxvm_options\0") };
    let options = options.map_err(|error| wrong(error.to_string()))?;
    // SAFETY: the text ends with a zero and is only read during the call.
    match unsafe { options(text.as_ptr()) } {
        0 => Ok(()),
        code => Err(wrong(format!("the PTX machine answers with CUDA's error {code}"))),
    }
}

/// What the machine counted since [`reset_machine_counts`], as JSON (see `kernels/ptx-vm/src/driver/counts.rs`); the
/// setting `counts=1` makes it count.
///
/// # Errors
/// The machine does not run in this process.
pub fn machine_counts() -> Result<String> {
    type Counts = unsafe extern "C" fn(*mut u8, usize) -> usize;
    with_machine(|library| {
        // SAFETY: the machine's library defines the function with this type; it writes at most as many
        // bytes as it is told there are and says how many the text has.
        let counts = unsafe { library.get::<Counts>(b"ptxvm_counts\0") }?;
        // SAFETY: as above; a text that is asked for its length alone.
        let length = unsafe { counts(std::ptr::null_mut(), 0) };
        let mut text = vec![0u8; length];
        // SAFETY: as above.
        unsafe { counts(text.as_mut_ptr(), text.len()) };
        Ok(String::from_utf8_lossy(&text).into_owned())
    })
}

/// Lets the machine's counts begin at zero.
///
/// # Errors
/// The machine does not run in this process.
pub fn reset_machine_counts() -> Result<()> {
    type Reset = unsafe extern "C" fn() -> i32;
    with_machine(|library| {
        // SAFETY: the machine's library defines the function with this type.
        let reset = unsafe { library.get::<Reset>(b"ptxvm_reset_counts\0") }?;
        // SAFETY: it takes nothing.
        unsafe { reset() };
        Ok(())
    })
}

fn with_machine<T>(
    work: impl FnOnce(&Library) -> std::result::Result<T, libloading::Error>,
) -> Result<T> {
    let chosen = CHOSEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let Some((_, Some(library))) = chosen.as_ref() else {
        return Err(Error::usage("only the PTX machine counts, and it does not run here"));
    };
    work(library).map_err(|error| Error::usage(format!("the PTX machine's counts: {error}")))
}

/// Loads the machine so that a later `dlopen("libcuda.so")` finds it by its soname.
fn load(path: &Path) -> Result<Library> {
    // SAFETY: the library is this project's own; its initialisers only set up Rust's runtime.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }.map_err(|error| {
        Error::usage(format!("{}: loading the PTX machine failed: {error}", path.display()))
    })
}

/// Beside the running program, or one folder up (test programs lie in `deps/`). Where cargo builds, `deps/` has the
/// newest one.
fn machine_path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(MACHINE_VARIABLE) {
        return Ok(PathBuf::from(path));
    }
    let program = std::env::current_exe()
        .map_err(|error| Error::io("the running program", "finding", error))?;
    let folders = program.ancestors().skip(1).take(2);
    let places: Vec<PathBuf> = folders
        .flat_map(|folder| [folder.join("deps").join(MACHINE_FILE), folder.join(MACHINE_FILE)])
        .collect();
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        Error::usage(format!(
            "the PTX machine is not at {}; `cargo build` makes it, or set {MACHINE_VARIABLE} to its path",
            places[1].display()
        ))
    })
}
