//! The machine as a driver library: its calls one by one, and unmodified `cudarc` over the shared library.

/// Captures and graphs.
mod captures;
/// The command.
mod command;
/// Contexts, the device, errors' names.
mod contexts;
/// Memory and copies.
mod copies;
/// cudarc over the shared library.
mod cudarc_program;
/// Work that runs as late as it may.
mod delayed;
/// Kernels that break rules.
mod faults;
/// Launches: arguments, limits, attributes.
mod launches;
/// Modules.
mod modules;
/// Nulls, zeros and handles of nothing.
mod nothing;
/// A driver to call.
mod session;
/// Streams and events.
mod streams;
/// Tensor maps.
mod tensor_maps;
