//! Work that is queued launch by launch the first time, recorded the second, and replayed from then on.

use crate::cuda::device::{Capture, Device};
use crate::error::Result;

/// The same work again and again: what changes from time to time lies in the device's memory.
#[derive(Default)]
pub(super) enum Recording {
    /// Kernels are loaded by the first run, which no recording may do.
    #[default]
    New,
    Loaded,
    Recorded(Capture),
}

impl Recording {
    /// Queues the work once.
    pub(super) fn run(&mut self, device: &Device, work: impl FnOnce() -> Result<()>) -> Result<()> {
        match self {
            Recording::New => {
                work()?;
                *self = Recording::Loaded;
                Ok(())
            }
            Recording::Loaded => {
                let capture = device.capture(work)?;
                device.replay(&capture)?;
                *self = Recording::Recorded(capture);
                Ok(())
            }
            Recording::Recorded(capture) => device.replay(capture),
        }
    }
}
