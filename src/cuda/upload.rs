//! Numbers on their way to a device while it works: page-locked memory, a second stream, a place to wait.

use cudarc::driver::{CudaEvent, PinnedHostSlice, result, sys};

use super::device::{Device, failed};
use super::memory::Buffer;
use crate::error::Result;

/// A tensor's way to the device. [`Upload::send`] copies beside the work that is queued,
/// [`Upload::take`] queues the last step, to where kernels read it.
pub struct Upload {
    pinned: PinnedHostSlice<u8>,
    waiting: Buffer,
    /// The copy to `waiting` is done.
    arrived: CudaEvent,
    /// The copy from `waiting` is done: there may be another.
    taken: CudaEvent,
    sent: bool,
}

impl Upload {
    /// # Errors
    /// There is not memory enough on either side.
    pub fn new(device: &Device, bytes: usize) -> Result<Self> {
        let bytes = bytes.max(1);
        let event = || {
            let event = device.context.new_event(Some(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING));
            event.map_err(|error| failed("making an event", error))
        };
        // SAFETY: `send` writes all of it before anything reads it.
        let pinned = unsafe { device.context.alloc_pinned::<u8>(bytes) };
        let upload = Self {
            pinned: pinned.map_err(|error| failed("taking page-locked memory", error))?,
            waiting: device.allocate(bytes)?,
            arrived: event()?,
            taken: event()?,
            sent: false,
        };
        // The other stream may use the memory only once it is there.
        upload.taken.record(&device.stream).map_err(|error| failed("recording an event", error))?;
        Ok(upload)
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Has `fill` write the bytes, and queues their copy. Waits only for the copy before this one.
    ///
    /// # Errors
    /// The driver or an earlier kernel failed.
    pub fn send(&mut self, device: &Device, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        let doing = |error| failed("bringing numbers to the device", error);
        self.arrived.synchronize().map_err(doing)?;
        let bytes = self.pinned.as_mut_slice().map_err(doing)?;
        fill(bytes);
        device.copies.wait(&self.taken).map_err(doing)?;
        // SAFETY: `waiting` has as many bytes; the page-locked ones stay as they are until `arrived`.
        let copied = unsafe {
            result::memcpy_htod_async(self.waiting.pointer().0, &*bytes, device.copies.cu_stream())
        };
        copied.map_err(doing)?;
        self.arrived.record(&device.copies).map_err(doing)?;
        self.sent = true;
        Ok(())
    }

    /// Queues the copy of what was sent last to `buffer`, from byte `offset` on, if it has not been
    /// taken yet.
    ///
    /// # Errors
    /// Too little room, or the driver failed.
    pub fn take(&mut self, device: &Device, buffer: &Buffer, offset: usize) -> Result<()> {
        if !self.sent {
            return Ok(());
        }
        let doing = |error| failed("bringing numbers to the device", error);
        device.stream.wait(&self.arrived).map_err(doing)?;
        device.copy((buffer, offset), (&self.waiting, 0), self.len())?;
        self.taken.record(&device.stream).map_err(doing)?;
        self.sent = false;
        Ok(())
    }
}

impl Drop for Upload {
    /// A copy that nobody took may be on its way still, out of memory that is about to be given back and into it.
    fn drop(&mut self) {
        let _ = self.arrived.synchronize();
    }
}
