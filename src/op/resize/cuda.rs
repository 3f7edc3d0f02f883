//! Bilinear resizing on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use std::ops::Range;

use super::Resize;
use crate::cpu::interpolation::Axis;
use crate::cuda::arguments::{Arguments, Layout};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, Operation, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Bytes of a pixel that a block has, and of its shared memory.
const SLOT: usize = 32;
const SHARED: usize = 48 << 10;
/// Vectors of 16 bytes that a block makes: some for each of its 256 threads.
const VECTORS: usize = 2048;
/// Outputs times inputs of an axis, up to which the kernels can count.
const MOST: usize = 1 << 29;

/// Extents of both maps.
struct Sizes {
    batch: usize,
    inp: [usize; 2],
    out: [usize; 2],
    channels: usize,
}

/// How a launch is parted: the most rows of a block, and whether it has what they need in shared memory.
struct Bands {
    rows: usize,
    shared: usize,
}

impl Bands {
    /// Bands of a map of `rows` x `columns` that are made of rows of `width` pixels, `needed(rows)` of them.
    fn new(
        [rows, columns]: [usize; 2],
        width: usize,
        channel_bytes: usize,
        needed: impl Fn(Range<usize>) -> usize,
    ) -> Self {
        let vectors = columns * channel_bytes.min(SLOT).div_ceil(16);
        let mut most = (VECTORS / vectors.max(1)).clamp(1, rows);
        loop {
            let bands = (0..rows).step_by(most).map(|row| row..(row + most).min(rows));
            let pixels = bands.map(&needed).max().unwrap_or(0) * width;
            let shared = pixels.next_multiple_of(2) * SLOT;
            // Each of them reads four pixels at least, if they are not shared.
            let pays = pixels <= 4 * most * columns;
            match most {
                _ if shared <= SHARED && pays => return Self { rows: most, shared },
                _ if shared <= SHARED => return Self { rows: most, shared: 0 },
                1 => return Self { rows: 1, shared: 0 },
                _ => most = most.div_ceil(2),
            }
        }
    }
}

impl OnCuda for Resize {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let sizes = self.sizes_on_cuda(pass.types[0])?;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ResizeForwardF32,
            Precision::Bf16 => Kernel::ResizeForwardBf16,
        };
        let down = Axis::new(sizes.inp[0], sizes.out[0], self.align_corners);
        let channel_bytes = sizes.channels * pass.precision.bytes();
        let bands = Bands::new(sizes.out, sizes.inp[1], channel_bytes, |rows| {
            down.at(rows.end - 1).second + 1 - down.at(rows.start).first
        });
        let arguments = Arguments::new().pointer(pass.inputs[0].working).pointer(pass.out);
        let arguments = self.arguments(arguments, &sizes, &bands);
        pass.device.launch(kernel, sizes.layout(sizes.out[0], &bands, pass.precision), &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dinp) = pass.dinputs[0] else { return Ok(()) };
        let sizes = self.sizes_on_cuda(pass.types[0])?;
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ResizeBackwardF32,
            Precision::Bf16 => Kernel::ResizeBackwardBf16,
        };
        let down = Axis::new(sizes.inp[0], sizes.out[0], self.align_corners);
        let channel_bytes = sizes.channels * pass.precision.bytes();
        let bands = Bands::new(sizes.inp, sizes.out[1], channel_bytes, |rows| {
            down.touching(rows.end - 1).end - down.touching(rows.start).start
        });
        let arguments = Arguments::new().pointer(pass.dout).pointer(dinp.values);
        let arguments = self.arguments(arguments, &sizes, &bands);
        let arguments = arguments.count(usize::from(dinp.write.adds()));
        pass.device.launch(kernel, sizes.layout(sizes.inp[0], &bands, pass.precision), &arguments)
    }
}

impl Sizes {
    /// A launch that makes maps of `rows` rows.
    fn layout(&self, rows: usize, bands: &Bands, precision: Precision) -> Layout {
        let slices = (self.channels * precision.bytes()).div_ceil(SLOT);
        let blocks = self.batch * rows.div_ceil(bands.rows) * slices;
        Layout { shared: bands.shared as u32, ..Layout::row(blocks, 256) }
    }
}

impl Resize {
    fn sizes_on_cuda(&self, inp: &TensorType) -> Result<Sizes> {
        let &[batch, height, width, channels] = inp.shape.extents() else {
            unreachable!("the signature has checked it")
        };
        if height * self.height >= MOST || width * self.width >= MOST {
            let message =
                format!("{} to {} x {} is too much for a device", inp, self.height, self.width);
            return Err(Error::usage(message).at(self.name()));
        }
        Ok(Sizes { batch, inp: [height, width], out: [self.height, self.width], channels })
    }

    /// What both directions take after their tensors.
    fn arguments(&self, arguments: Arguments, sizes: &Sizes, bands: &Bands) -> Arguments {
        let arguments = sizes.inp.into_iter().chain(sizes.out).fold(arguments, Arguments::count);
        arguments
            .count(sizes.channels)
            .count(usize::from(self.align_corners))
            .count(bands.rows)
            .count(usize::from(bands.shared > 0))
    }
}
