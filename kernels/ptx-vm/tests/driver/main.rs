//! The machine as a driver library: its calls one by one, and unmodified `cudarc` over the shared library.

/// Memory and copies.
mod copies;
/// Captures and graphs.
mod captures;
/// Contexts, the device, errors' names.
mod contexts;
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
/// Streams and events.
mod streams;
/// A driver to call.
mod session;
/// Tensor maps.
mod tensor_maps;
/// The command.
mod command;
