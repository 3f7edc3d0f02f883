//! What tests share: cases of operations, naive references, differences, comparisons.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;

pub mod attend;
pub mod case;
pub mod compare;
pub mod device;
pub mod norm;

/// A file of the repository. Where tests run without cargo and without the repository, `CARGO_MANIFEST_DIR` names a
/// folder with what of it they read.
pub fn in_repository(path: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR");
    root.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from).join(path)
}
