//! A kernel that everything about launches can be tried with: layer norm, forward, in f32.

use crformer::cuda::arguments::{Arguments, Layout, Pointer};
use crformer::cuda::device::Device;
use crformer::cuda::kernels::Kernel;
use crformer::cuda::memory::Buffer;
use crformer::cuda::precision::Precision;
use crformer::error::Result;

use super::device::{bytes, filled};

const ROWS: usize = 6;
const CHANNELS: usize = 20;

/// Its buffers.
pub struct Norm {
    pub inp: Buffer,
    weight: Buffer,
    bias: Buffer,
    pub out: Buffer,
}

impl Norm {
    pub const KERNEL: Kernel = Kernel::LayerNormForwardF32;
    /// Numbers of its output.
    pub const LEN: usize = ROWS * CHANNELS;
    /// Bytes of a row.
    pub const ROW: usize = 4 * CHANNELS;

    /// Weights of 1, biases of 0.5.
    pub fn new(device: &Device) -> Self {
        let upload = |values: &[f64]| filled(device, &bytes(values, Precision::F32));
        let values: Vec<f64> = (0..Self::LEN).map(|i| (i as f64 * 0.7).sin()).collect();
        Self {
            inp: upload(&values),
            weight: upload(&[1.0; CHANNELS]),
            bias: upload(&[0.5; CHANNELS]),
            out: device.allocate(4 * Self::LEN).expect("memory"),
        }
    }

    pub fn arguments(&self, inp: Pointer) -> Arguments {
        let statistics = Pointer::NULL;
        Arguments::new()
            .pointer(inp)
            .pointer(self.weight.pointer())
            .pointer(self.bias.pointer())
            .pointer(self.out.pointer())
            .pointer(statistics)
            .pointer(statistics)
            .count(ROWS)
            .count(CHANNELS)
            .float(1e-5)
    }

    pub fn layout() -> Layout {
        Layout::row(ROWS.div_ceil(4), 128)
    }

    pub fn launch(&self, device: &Device, inp: Pointer) -> Result<()> {
        device.launch(Self::KERNEL, Self::layout(), &self.arguments(inp))
    }
}
