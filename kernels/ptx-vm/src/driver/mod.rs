//! The machine as a CUDA driver library: what `libcuda.so` exports, over the machine in place of a GPU.
//!
//! Load the shared library by its path with `RTLD_NOW | RTLD_GLOBAL` before anything asks for `libcuda.so`: its
//! soname is that name, so a later `dlopen("libcuda.so")` in the process finds it, and the program is none the wiser.
//!
//! How it differs from a GPU's driver, always on the strict side:
//!
//! - **Time.** Asynchronous work runs when it is asked for. With the setting `adversarial` it runs as late as it may
//!   (at a synchronisation, a synchronous copy, a free, or once 1024 pieces wait) and in a random order of those that
//!   streams and events allow; what a copy will write in pinned memory is spoilt until then.
//! - **Faults.** The call that runs a faulting kernel answers with CUDA's code for it: the launch itself, or under
//!   `adversarial` the synchronisation. The report goes to stderr and to `ptxvm_last_report`. The context stays of
//!   use, so that one report does not hide the next; with the setting `sticky` every later call fails with the same
//!   code until the context is reset, as on a GPU.
//! - **Captures** hold launches, copies, fills, host calls and other graphs; allocations are not recorded, and host
//!   memory in a captured copy has to be pinned.
//! - **Not there**: managed memory, mapped host memory, peers, arrays and textures, clusters of more than one block,
//!   cooperative launches, compiled images. Each answers with `NOT_SUPPORTED` or the code CUDA has for it.

/// Device memory as it is handed out.
mod allocations;
/// What the device says of itself.
mod attributes;
/// Recordings of streams.
mod capture;
/// What launches did.
pub mod counts;
/// The exported functions.
pub mod entry;
/// Texts for the device at hand.
pub mod load;
/// The one machine of a process.
mod machine;
/// What a stream does.
mod operation;
/// Streams, events and captures: in which order.
mod order;
/// Work that waits.
mod queue;
/// What can be set.
pub mod settings;
/// The objects behind handles.
mod state;
/// Answers of calls.
pub mod status;
/// Handles.
mod table;

pub use status::Status;
pub use table::Handle;
