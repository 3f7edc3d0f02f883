//! A device with its kernels and the order of its work. Only this file, `memory` and `upload` know cudarc.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, DriverError, result, sys,
};
use rayon::prelude::*;

use super::arguments::{Arguments, Layout};
use super::kernels::{Kernel, Module};
use super::library::{self, Driver};
use crate::error::{Error, ErrorKind, Result};

/// The least compute capability whose instructions the kernels use (bf16 on tensor cores, `cp.async`).
pub const LEAST_CAPABILITY: (u32, u32) = (8, 0);

/// Shared memory a kernel may have without asking, in bytes.
const SHARED_UNASKED: u32 = 48 << 10;

/// A kernel ready to launch.
struct Loaded {
    function: CudaFunction,
    /// Dynamic shared memory it has been allowed.
    shared: u32,
}

/// A recorded sequence of launches and copies, replayed as one.
pub struct Capture(CudaGraph);

/// A CUDA device, or the PTX machine in the place of one.
///
/// All work goes to one stream, in order; what is brought to the device beside it, to another.
pub struct Device {
    pub(super) context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    pub(super) copies: Arc<CudaStream>,
    modules: RefCell<BTreeMap<usize, Arc<CudaModule>>>,
    kernels: RefCell<Vec<Option<Loaded>>>,
    capability: (u32, u32),
    most_shared: u32,
    name: String,
}

impl Device {
    /// Opens device number `ordinal` of a driver.
    ///
    /// # Errors
    /// There is no such driver or device, or it is too old.
    pub fn open(driver: Driver, ordinal: usize) -> Result<Self> {
        library::choose(driver)?;
        // SAFETY: only asks whether a library can be loaded.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::usage(
                "there is no CUDA driver on this machine (libcuda.so not found); use --device cpu or --device vm",
            ));
        }
        let count = devices().map_err(|error| failed("counting the devices", error))?;
        if ordinal >= count {
            let message = format!("there is no device cuda:{ordinal}; the driver has {count}");
            return Err(Error::usage(format!("{message}; use --device cpu or --device vm")));
        }
        let context =
            CudaContext::new(ordinal).map_err(|error| failed("opening the device", error))?;
        Self::with_context(context).map_err(|error| failed("opening the device", error))?.check()
    }

    fn with_context(context: Arc<CudaContext>) -> std::result::Result<Self, DriverError> {
        // SAFETY: what two streams share is ordered by events of its own (`cuda::upload`).
        unsafe { context.disable_event_tracking() };
        let (major, minor) = context.compute_capability()?;
        let shared = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN;
        Ok(Self {
            stream: context.new_stream()?,
            copies: context.new_stream()?,
            modules: RefCell::default(),
            kernels: RefCell::new(Kernel::ALL.iter().map(|_| None).collect()),
            capability: (major.max(0) as u32, minor.max(0) as u32),
            most_shared: context.attribute(shared)?.max(0) as u32,
            name: context.name()?,
            context,
        })
    }

    fn check(self) -> Result<Self> {
        if self.capability < LEAST_CAPABILITY {
            let ((major, minor), (least, least_minor)) = (self.capability, LEAST_CAPABILITY);
            return Err(Error::usage(format!(
                "{} has compute capability {major}.{minor}; the kernels need {least}.{least_minor}; use --device cpu",
                self.name
            )));
        }
        Ok(self)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Bytes of shared memory that a block can have.
    pub fn most_shared(&self) -> u32 {
        self.most_shared
    }

    /// Queues a kernel.
    ///
    /// # Errors
    /// A layout the device cannot have, PTX it refuses, or an earlier kernel failed.
    pub fn launch(&self, kernel: Kernel, layout: Layout, arguments: &Arguments) -> Result<()> {
        layout.check(kernel.name(), self.most_shared)?;
        let function = self.function(kernel, layout.shared)?;
        let triple = |[x, y, z]: [u32; 3]| (x, y, z);
        let mut places = arguments.places();
        let (grid, block) = (triple(layout.grid), triple(layout.block));
        // SAFETY: the kernel belongs to a module of this context; the places hold as many values as
        // the kernel's parameters, in their order: that is what the operation's launch code states.
        unsafe {
            self.context.bind_to_thread().and_then(|()| {
                result::launch_kernel(
                    function,
                    grid,
                    block,
                    layout.shared,
                    self.stream.cu_stream(),
                    &mut places,
                )
            })
        }
        .map_err(|error| failed(&format!("launching {}", kernel.name()), error))
    }

    /// Waits until all queued work is done.
    ///
    /// # Errors
    /// A kernel or copy failed.
    pub fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().map_err(|error| failed("waiting for the device", error))
    }

    /// Loads a kernel, so that a launch of it inside a capture finds it ready.
    ///
    /// # Errors
    /// As [`Device::launch`].
    pub fn prepare(&self, kernel: Kernel, shared: u32) -> Result<()> {
        self.function(kernel, shared).map(|_| ())
    }

    /// Records what `work` queues instead of doing it.
    ///
    /// # Errors
    /// `work` failed or did what cannot be recorded: allocating, waiting.
    pub fn capture(&self, work: impl FnOnce() -> Result<()>) -> Result<Capture> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).map_err(|error| failed("beginning a capture", error))?;
        let done = work();
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0));
        done?;
        let graph = graph.map_err(|error| failed("ending a capture", error))?;
        graph.map(Capture).ok_or_else(|| Error::usage("nothing was queued during a capture"))
    }

    /// Queues all that was recorded.
    ///
    /// # Errors
    /// The driver failed.
    pub fn replay(&self, capture: &Capture) -> Result<()> {
        capture.0.launch().map_err(|error| failed("replaying a capture", error))
    }

    /// What a capture holds, in the order in which it was queued: launches, and `None` for a copy or a fill.
    ///
    /// # Errors
    /// The driver failed.
    pub fn recorded(&self, capture: &Capture) -> Result<Vec<Option<(Kernel, Layout)>>> {
        let nodes = nodes(capture.0.cu_graph()).and_then(|nodes| {
            nodes.into_iter().map(launch_of).collect::<std::result::Result<Vec<_>, _>>()
        });
        let nodes = nodes.map_err(|error| failed("reading a capture", error))?;
        let kernels = self.kernels.borrow();
        let kernel = |function: sys::CUfunction| {
            let is = |loaded: &Option<Loaded>| {
                loaded.as_ref().is_some_and(|loaded| loaded.function.cu_function() == function)
            };
            let at = kernels.iter().position(is);
            at.map(|at| Kernel::ALL[at]).ok_or_else(|| Error::usage("a kernel of somebody else"))
        };
        let launches = nodes.into_iter().map(|launch| {
            launch.map(|(function, layout)| Ok((kernel(function)?, layout))).transpose()
        });
        launches.collect()
    }

    fn function(&self, kernel: Kernel, shared: u32) -> Result<sys::CUfunction> {
        let mut kernels = self.kernels.borrow_mut();
        let entry = &mut kernels[kernel as usize];
        if entry.is_none() {
            *entry = Some(Loaded { function: self.load(kernel)?, shared: SHARED_UNASKED });
        }
        let loaded = entry.as_mut().ok_or_else(|| Error::usage("a kernel that was just loaded"))?;
        if shared > loaded.shared {
            let attribute =
                sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            let set = loaded.function.set_attribute(attribute, shared as i32);
            set.map_err(|error| failed(&format!("giving {} shared memory", kernel.name()), error))?;
            loaded.shared = shared;
        }
        Ok(loaded.function.cu_function())
    }

    fn load(&self, kernel: Kernel) -> Result<CudaFunction> {
        let module = self.module(kernel.module())?;
        let function = module.load_function(kernel.name());
        function.map_err(|error| failed(&format!("finding the kernel {}", kernel.name()), error))
    }

    /// Loads files of kernels, at once on the pool's threads: a driver compiles each for its device where it has not
    /// before, which takes seconds.
    ///
    /// # Errors
    /// PTX that the driver refuses.
    pub fn load_modules(&self, modules: impl IntoIterator<Item = Module>) -> Result<()> {
        let missing: BTreeSet<usize> = modules.into_iter().map(|module| module as usize).collect();
        let missing: Vec<usize> =
            missing.into_iter().filter(|at| !self.modules.borrow().contains_key(at)).collect();
        let (context, capability) = (&self.context, self.capability);
        let load = |&at: &usize| Ok((at, load_module(context, Module::ALL[at], capability)?));
        let loaded: Vec<_> = missing.par_iter().map(load).collect::<Result<_>>()?;
        self.modules.borrow_mut().extend(loaded);
        Ok(())
    }

    fn module(&self, module: Module) -> Result<Arc<CudaModule>> {
        if let Some(loaded) = self.modules.borrow().get(&(module as usize)) {
            return Ok(loaded.clone());
        }
        let loaded = load_module(&self.context, module, self.capability)?;
        self.modules.borrow_mut().insert(module as usize, loaded.clone());
        Ok(loaded)
    }
}

fn load_module(
    context: &Arc<CudaContext>,
    module: Module,
    capability: (u32, u32),
) -> Result<Arc<CudaModule>> {
    let ptx = module.ptx(capability).ok_or_else(|| {
        Error::usage(format!("{module:?} has no PTX for compute capability {capability:?}"))
    })?;
    let loaded = context.load_module(cudarc::nvrtc::Ptx::from_src(ptx.text));
    loaded.map_err(|error| failed(&format!("loading the PTX of {module:?}"), error))
}

/// How many devices the driver has.
fn devices() -> std::result::Result<usize, DriverError> {
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => return Ok(0),
        other => other?,
    }
    Ok(result::device::get_count()?.max(0) as usize)
}

fn nodes(graph: sys::CUgraph) -> std::result::Result<Vec<sys::CUgraphNode>, DriverError> {
    let mut count = 0;
    // SAFETY: without room for nodes the driver only tells how many there are.
    unsafe { sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &mut count) }.result()?;
    let mut nodes = vec![std::ptr::null_mut(); count];
    // SAFETY: there is room for `count` nodes.
    unsafe { sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count) }.result()?;
    nodes.truncate(count);
    Ok(nodes)
}

/// The function that a node launches, if it does.
fn launch_of(
    node: sys::CUgraphNode,
) -> std::result::Result<Option<(sys::CUfunction, Layout)>, DriverError> {
    let mut kind = sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY;
    // SAFETY: a node of a graph that is alive, and a place for the answer.
    unsafe { sys::cuGraphNodeGetType(node, &mut kind) }.result()?;
    if kind != sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_KERNEL {
        return Ok(None);
    }
    let mut told = std::mem::MaybeUninit::<sys::CUDA_KERNEL_NODE_PARAMS>::zeroed();
    // SAFETY: as above; what the driver does not write stays zero, which every field may be.
    let told = unsafe {
        sys::cuGraphKernelNodeGetParams_v2(node, told.as_mut_ptr()).result()?;
        told.assume_init()
    };
    let grid = [told.gridDimX, told.gridDimY, told.gridDimZ];
    let block = [told.blockDimX, told.blockDimY, told.blockDimZ];
    Ok(Some((told.func, Layout { grid, block, shared: told.sharedMemBytes })))
}

/// What the driver said, and what the machine reports if it is the driver.
pub(super) fn failed(doing: &str, error: DriverError) -> Error {
    let name = error
        .error_name()
        .map_or_else(|_| format!("{:?}", error.0), |n| n.to_string_lossy().into_owned());
    let text = error.error_string().map(|t| t.to_string_lossy().into_owned()).unwrap_or_default();
    let report = library::machine_report().map(|report| format!("\n{report}")).unwrap_or_default();
    Error::new(ErrorKind::Device, format!("{doing} failed: {name}: {text}{report}"))
}
