//! A device's memory: taken, filled, read, copied.

use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result, sys};

use super::arguments::Pointer;
use super::device::{Device, failed};
use crate::error::{Error, Result};

/// Memory of a device; given back when dropped.
#[derive(Debug)]
pub struct Buffer {
    slice: CudaSlice<u8>,
    pointer: Pointer,
}

impl Buffer {
    pub fn pointer(&self) -> Pointer {
        self.pointer
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        self.slice.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slice.is_empty()
    }

    /// Where `len` bytes from `offset` on lie, if they are in it.
    fn part(&self, offset: usize, len: usize) -> Result<Pointer> {
        match offset.checked_add(len).is_some_and(|end| end <= self.len()) {
            true => Ok(self.pointer.offset(offset)),
            false => {
                let room = self.len();
                Err(Error::usage(format!("{len} bytes at {offset} of a buffer of {room}")))
            }
        }
    }
}

impl Device {
    /// Bytes free and in all.
    ///
    /// # Errors
    /// The driver failed.
    pub fn memory(&self) -> Result<(usize, usize)> {
        self.context.mem_get_info().map_err(|error| failed("asking for free memory", error))
    }

    /// New memory, its content unknown.
    ///
    /// # Errors
    /// There is not enough: the message says how much is free.
    pub fn allocate(&self, bytes: usize) -> Result<Buffer> {
        // SAFETY: nothing reads the memory before something has been written: copies and kernels
        // are ordered by the stream, and the PTX machine checks exactly this.
        let slice = unsafe { self.stream.alloc::<u8>(bytes.max(1)) };
        let slice = slice.map_err(|error| match error {
            DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY) => self.too_little(bytes),
            error => failed("allocating memory", error),
        })?;
        let (pointer, _) = slice.device_ptr(&self.stream);
        let pointer = Pointer(pointer);
        Ok(Buffer { slice, pointer })
    }

    /// New memory, all bytes zero.
    ///
    /// # Errors
    /// As [`Device::allocate`].
    pub fn zeros(&self, bytes: usize) -> Result<Buffer> {
        let buffer = self.allocate(bytes)?;
        // SAFETY: as many bytes as the buffer has; the stream orders it before any use.
        let set = self.context.bind_to_thread().and_then(|()| unsafe {
            result::memset_d8_async(buffer.pointer.0, 0, buffer.len(), self.stream.cu_stream())
        });
        set.map_err(|error| failed("clearing memory", error))?;
        Ok(buffer)
    }

    pub(super) fn too_little(&self, bytes: usize) -> Error {
        let mib = |bytes: usize| bytes >> 20;
        let (free, total) = self.memory().unwrap_or_default();
        Error::memory(format!(
            "{} MiB are needed on {}, which has {} MiB free of {}; a smaller batch needs less",
            mib(bytes),
            self.name(),
            mib(free),
            mib(total)
        ))
    }

    /// Copies into `buffer`, from byte `offset` on, after all work so far. The bytes may be changed as soon as
    /// this returns.
    ///
    /// # Errors
    /// More bytes than the buffer has, or the driver failed.
    pub fn upload(&self, buffer: &Buffer, offset: usize, bytes: &[u8]) -> Result<()> {
        let to = buffer.part(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: `to` has room for the bytes, and this waits until they are copied.
        let copied = self.context.bind_to_thread().and_then(|()| unsafe {
            result::memcpy_htod_async(to.0, bytes, self.stream.cu_stream())
        });
        copied.map_err(|error| failed("copying to the device", error))?;
        self.synchronize()
    }

    /// Copies out of `buffer`, from byte `offset` on, once all work so far is done.
    ///
    /// # Errors
    /// More bytes than the buffer has, or the driver or a kernel failed.
    pub fn download(&self, buffer: &Buffer, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let from = buffer.part(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        // SAFETY: there are as many bytes at `from`, and this waits until they are copied.
        let copied = self.context.bind_to_thread().and_then(|()| unsafe {
            result::memcpy_dtoh_async(bytes, from.0, self.stream.cu_stream())
        });
        copied.map_err(|error| failed("copying from the device", error))?;
        self.synchronize()
    }

    /// Queues a copy within the device.
    ///
    /// # Errors
    /// Bytes that are not in the buffers, or the driver failed.
    pub fn copy(&self, to: (&Buffer, usize), from: (&Buffer, usize), bytes: usize) -> Result<()> {
        let (to, from) = (to.0.part(to.1, bytes)?, from.0.part(from.1, bytes)?);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: both have the bytes; the stream orders the copy among the other work.
        let copied = self.context.bind_to_thread().and_then(|()| unsafe {
            result::memcpy_dtod_async(to.0, from.0, bytes, self.stream.cu_stream())
        });
        copied.map_err(|error| failed("copying within the device", error))
    }

    /// Queues the writing of 32-bit words, byte `offset` being a multiple of 4.
    ///
    /// # Errors
    /// Words that are not in the buffer, or the driver failed.
    pub fn set(&self, buffer: &Buffer, offset: usize, words: &[u32]) -> Result<()> {
        let to = buffer.part(offset, 4 * words.len())?;
        for (i, &word) in words.iter().enumerate() {
            // SAFETY: the word is in the buffer; the stream orders it among the other work.
            let set = self.context.bind_to_thread().and_then(|()| unsafe {
                sys::cuMemsetD32Async(to.offset(4 * i).0, word, 1, self.stream.cu_stream()).result()
            });
            set.map_err(|error| failed("writing a number to the device", error))?;
        }
        Ok(())
    }
}
