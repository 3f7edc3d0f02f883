//! An update on a CUDA device: the norm of all gradients `sqrt(sum of g^2)`, then Adam or AdamW (`adamw`)
//! over all parameters, one launch each. The host sends an update's numbers ahead and waits for nothing.

use bytemuck::{Pod, Zeroable};

use super::adamw::{Coefficients, Rate, Update};
use crate::cuda::arguments::{Arguments, Layout, Pointer};
use crate::cuda::device::Device;
use crate::cuda::kernels::{Kernel, Module};
use crate::cuda::memory::Buffer;
use crate::cuda::upload::Upload;
use crate::error::Result;

/// Numbers of a parameter that one block changes.
const PIECE: usize = 4096;
/// Blocks that sum squares, each a part of them: enough for any device.
const SUMMING_BLOCKS: usize = 512;
const THREADS: u32 = 256;

/// A trained parameter: where it begins among the parameters and among the gradients, in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Trained {
    pub parameter: usize,
    pub gradient: usize,
    pub len: usize,
}

/// What an update works on. Lengths in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    /// In f32.
    pub parameters: &'a Buffer,
    /// In bf16, where products read them so.
    pub copy: Option<&'a Buffer>,
    /// In f32, zeros between parameters.
    pub gradients: &'a Buffer,
    /// If it is not finite, nothing changes.
    pub loss: Pointer,
    /// A counter that is zero before and after.
    pub ticket: Pointer,
}

/// Moments and tables of the trained parameters.
pub struct Optimiser {
    first_moments: Buffer,
    second_moments: Buffer,
    pieces: Buffer,
    piece_count: usize,
    /// A header, then a rate for each parameter.
    numbers: Buffer,
    upload: Upload,
    partial: Buffer,
    verdict: Buffer,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Piece {
    parameter: u64,
    gradient: u64,
    count: u32,
    rate: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Header {
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    correction2: f32,
    eps: f32,
    clip: f32,
    unused: f32,
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct ParameterRate {
    coupled_decay: f32,
    keep: f32,
    step_size: f32,
    unused: f32,
}

/// As the kernels write it.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Verdict {
    norm: f64,
    scale: f32,
    unused: u32,
}

impl Optimiser {
    /// The files of kernels that an update launches from.
    pub const MODULES: [Module; 2] = [Module::Adamw, Module::GradNorm];

    /// Moments that are zero, as many as there are gradients.
    ///
    /// # Errors
    /// Too little memory.
    pub fn new(device: &Device, trained: &[Trained], gradients: usize) -> Result<Self> {
        let pieces: Vec<Piece> = trained.iter().enumerate().flat_map(pieces_of).collect();
        let numbers = size_of::<Header>() + trained.len() * size_of::<ParameterRate>();
        let optimiser = Self {
            first_moments: device.zeros(gradients * size_of::<f32>())?,
            second_moments: device.zeros(gradients * size_of::<f32>())?,
            pieces: device.allocate(size_of_val(&pieces[..]))?,
            piece_count: pieces.len(),
            numbers: device.allocate(numbers)?,
            upload: Upload::new(device, numbers)?,
            partial: device.allocate(SUMMING_BLOCKS * size_of::<f64>())?,
            verdict: device.zeros(size_of::<Verdict>())?,
        };
        device.upload(&optimiser.pieces, 0, bytemuck::cast_slice(&pieces))?;
        Ok(optimiser)
    }

    /// Sends the numbers of the next update.
    ///
    /// # Errors
    /// The driver or an earlier kernel failed.
    pub fn send(&mut self, device: &Device, update: &Update, rates: &[Rate]) -> Result<()> {
        self.upload.send(device, |bytes| {
            let (header, of_parameters) = bytes.split_at_mut(size_of::<Header>());
            header.copy_from_slice(bytemuck::bytes_of(&Header::new(update)));
            let room = of_parameters.chunks_exact_mut(size_of::<ParameterRate>());
            for (room, &rate) in room.zip(rates) {
                room.copy_from_slice(bytemuck::bytes_of(&ParameterRate::new(update, rate)));
            }
        })?;
        self.upload.take(device, &self.numbers, 0)
    }

    /// Queues both launches; can be recorded.
    ///
    /// # Errors
    /// The driver or an earlier kernel failed.
    pub fn queue(&self, device: &Device, memory: &Memory<'_>) -> Result<()> {
        let (header, verdict) = (self.numbers.pointer(), self.verdict.pointer());
        let gradients = memory.gradients.pointer();
        let norm = Arguments::new()
            .pointer(gradients)
            .long((self.first_moments.len() / size_of::<f32>()) as u64)
            .pointer(memory.loss)
            .pointer(header)
            .pointer(self.partial.pointer())
            .pointer(memory.ticket)
            .pointer(verdict);
        let layout = Layout::row(SUMMING_BLOCKS, THREADS);
        device.launch(Kernel::GradNormForwardF32, layout, &norm)?;
        let update = Arguments::new()
            .pointer(memory.parameters.pointer())
            .pointer(memory.copy.map_or(Pointer::NULL, Buffer::pointer))
            .pointer(gradients)
            .pointer(self.first_moments.pointer())
            .pointer(self.second_moments.pointer())
            .pointer(self.pieces.pointer())
            .pointer(header)
            .pointer(header.offset(size_of::<Header>()))
            .pointer(verdict);
        device.launch(Kernel::AdamwForwardF32, Layout::row(self.piece_count, THREADS), &update)
    }

    /// The norm of the gradients at the last update; waits for it.
    ///
    /// # Errors
    /// The driver or a kernel failed.
    pub fn norm(&self, device: &Device) -> Result<f64> {
        let mut verdict = Verdict::zeroed();
        device.download(&self.verdict, 0, bytemuck::bytes_of_mut(&mut verdict))?;
        Ok(verdict.norm)
    }

    /// First and second moments.
    pub fn moments(&self) -> [&Buffer; 2] {
        [&self.first_moments, &self.second_moments]
    }

    /// In bytes, moments included.
    pub fn memory(&self) -> usize {
        let buffers = [&self.first_moments, &self.second_moments, &self.pieces, &self.numbers];
        buffers.map(Buffer::len).iter().sum::<usize>() + self.upload.len() + self.partial.len()
    }
}

fn pieces_of((rate, trained): (usize, &Trained)) -> impl Iterator<Item = Piece> + use<> {
    let Trained { parameter, gradient, len } = *trained;
    (0..len).step_by(PIECE).map(move |start| Piece {
        parameter: (parameter + start) as u64,
        gradient: (gradient + start) as u64,
        count: PIECE.min(len - start) as u32,
        rate: rate as u32,
    })
}

impl Header {
    fn new(update: &Update) -> Self {
        let free = Rate { learning_rate: 0.0, decay: 0.0 };
        let c = Coefficients::<f32>::new(update, free, 1.0);
        Self {
            beta1: c.beta1,
            rest1: c.rest1,
            beta2: c.beta2,
            rest2: c.rest2,
            correction2: c.correction2,
            eps: c.eps,
            clip: update.clip as f32,
            unused: 0.0,
        }
    }
}

impl ParameterRate {
    fn new(update: &Update, rate: Rate) -> Self {
        let c = Coefficients::<f32>::new(update, rate, 1.0);
        let Coefficients { coupled_decay, keep, step_size, .. } = c;
        Self { coupled_decay, keep, step_size, unused: 0.0 }
    }
}
