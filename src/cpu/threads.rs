//! How many threads the work on the CPU is spread over.

use crate::error::{Error, Result};

/// Gives the operations `count` threads (at least 1) instead of one a core. To be called at most
/// once, before anything is computed.
///
/// # Errors
/// The threads are running already, or the system refuses so many.
pub fn start(count: usize) -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count.max(1));
    pool.build_global()
        .map_err(|error| Error::usage(format!("starting {count} threads failed: {error}")))
}
