//! The build script, run as it was built on small projects of its own, with a stand-in for nvcc.

/// A project with kernels to build.
mod project;
/// What it does with PTX that is up to date, out of date, or not to be had.
mod ptx;
/// What it makes of sources that are wrong.
mod refusals;
