//! A driver to call: one test at a time, with settings of its own, and short ways to say common things.

use std::ffi::CString;
use std::sync::{Mutex, MutexGuard};

use ptx_vm::driver::entry::*;
use ptx_vm::driver::{Handle, Status};

/// The driver has one set of settings for the process.
static TURN: Mutex<()> = Mutex::new(());

pub const KERNELS: &str = include_str!("kernels.ptx");

/// The driver with a primary context that is current and empty; everything is given back in the end.
pub struct Session {
    _turn: MutexGuard<'static, ()>,
    pub context: Handle,
}

/// Settings as they are without any.
const DEFAULTS: &str =
    "written=1 races=0 counts=0 adversarial=off threads=2 instructions=100000000 sticky=0 quiet=1";

impl Session {
    pub fn new() -> Self {
        Self::with("")
    }

    /// With settings that differ from the defaults.
    pub fn with(settings: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
        ok(cuInit(0));
        ok(options(DEFAULTS));
        ok(options(settings));
        let context = get(|out| cuDevicePrimaryCtxRetain(out, 0));
        ok(cuCtxSetCurrent(context));
        Self { _turn: turn, context }
    }

    pub fn module(&self) -> Handle {
        load(KERNELS).expect("the tests' kernels load")
    }

    pub fn function(&self, name: &str) -> Handle {
        function(self.module(), name).expect(name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let released = cuDevicePrimaryCtxRelease_v2(0);
        cuCtxSetCurrent(0);
        if !std::thread::panicking() {
            assert_eq!(released, Status::SUCCESS);
        }
    }
}

#[track_caller]
pub fn ok(status: Status) {
    assert_eq!(status, Status::SUCCESS, "{:?}: {}", status.name(), report());
}

/// A place for a result.
pub fn out<T>(place: &mut T) -> Out<T> {
    // SAFETY: the calls here return before the place goes.
    unsafe { Out::new(place) }
}

pub fn null<T>() -> Out<T> {
    // SAFETY: null is allowed.
    unsafe { Out::new(std::ptr::null_mut()) }
}

pub fn input<T: Copy>(place: &[T]) -> In<T> {
    // SAFETY: the calls here return before the place goes.
    unsafe { In::new(place.as_ptr()) }
}

pub fn no_input<T: Copy>() -> In<T> {
    // SAFETY: null is allowed.
    unsafe { In::new(std::ptr::null()) }
}

/// The result of a call that succeeds.
#[track_caller]
pub fn get<T: Default>(call: impl FnOnce(Out<T>) -> Status) -> T {
    let mut value = T::default();
    ok(call(out(&mut value)));
    value
}

/// A name for a call; it has to outlive it.
pub fn name(text: &CString) -> Name {
    // SAFETY: the calls here return before the text goes.
    unsafe { Name::new(text.as_ptr()) }
}

pub fn c(text: &str) -> CString {
    CString::new(text).expect("no zero inside")
}

pub fn options(text: &str) -> Status {
    ptxvm_options(name(&c(text)))
}

pub fn report() -> String {
    let mut text = vec![0u8; 4096];
    // SAFETY: that many bytes.
    let length = ptxvm_last_report(unsafe { Out::new(text.as_mut_ptr()) }, text.len());
    text.truncate(length);
    String::from_utf8(text).expect("reports are UTF-8")
}

pub fn load(text: &str) -> Result<Handle, Status> {
    let (mut module, text) = (0, c(text));
    match cuModuleLoadData(out(&mut module), name(&text)) {
        Status::SUCCESS => Ok(module),
        status => Err(status),
    }
}

pub fn function(module: Handle, text: &str) -> Result<Handle, Status> {
    let (mut function, text) = (0, c(text));
    match cuModuleGetFunction(out(&mut function), module, name(&text)) {
        Status::SUCCESS => Ok(function),
        status => Err(status),
    }
}

/// Launches with addresses of arguments, as most callers do.
pub fn launch_on(
    stream: Handle,
    function: Handle,
    (grid, block, shared): (u32, u32, u32),
    arguments: &[&dyn Bytes],
) -> Status {
    let bytes: Vec<Vec<u8>> = arguments.iter().map(|argument| argument.bytes()).collect();
    let each: Vec<In<u8>> = bytes.iter().map(|b| input(b)).collect();
    let each = if each.is_empty() { no_input() } else { input(&each) };
    cuLaunchKernel(function, grid, 1, 1, block, 1, 1, shared, stream, each, no_input())
}

pub fn launch(function: Handle, blocks: u32, threads: u32, arguments: &[&dyn Bytes]) -> Status {
    launch_on(0, function, (blocks, threads, 0), arguments)
}

/// An argument as it lies in memory.
pub trait Bytes {
    fn bytes(&self) -> Vec<u8>;
}

macro_rules! bytes {
    ($($kind:ty)*) => {$(
        impl Bytes for $kind {
            fn bytes(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
        }
    )*};
}

bytes!(u8 u16 u32 u64 i32 f32);

/// Device memory with these words.
pub fn upload(words: &[u32]) -> u64 {
    let address = get(|out| cuMemAlloc_v2(out, size_of_val(words)));
    ok(cuMemcpyHtoD_v2(address, words.as_ptr() as usize, size_of_val(words)));
    address
}

pub fn download(address: u64, count: usize) -> Vec<u32> {
    let mut words = vec![0u32; count];
    ok(cuMemcpyDtoH_v2(words.as_mut_ptr() as usize, address, 4 * count));
    words
}

pub fn stream() -> Handle {
    get(|out| cuStreamCreate(out, 1))
}

pub fn event() -> Handle {
    get(|out| cuEventCreate(out, 0))
}

/// Pinned memory of some words, given back in the end.
pub struct Pinned(pub usize, usize);

impl Pinned {
    pub fn new(words: &[u32]) -> Self {
        let mut pinned = Self(get(|out| cuMemHostAlloc(out, 4 * words.len(), 0)), words.len());
        pinned.words().copy_from_slice(words);
        pinned
    }

    pub fn words(&mut self) -> &mut [u32] {
        // SAFETY: the driver gave as many words there, and no copy of the test runs now.
        unsafe { std::slice::from_raw_parts_mut(self.0 as *mut u32, self.1) }
    }
}
