//! Both directions of one operation on a CUDA device, and passes in a row as one replay.

use std::time::{Duration, Instant};

use crformer::cuda::arguments::Pointer;
use crformer::cuda::device::{Capture, Device};
use crformer::cuda::memory::Buffer;
use crformer::cuda::precision::Precision;
use crformer::error::{Error, Result};
use crformer::op::Op;
use crformer::op::contract::{Kind, TensorType};
use crformer::op::device::{
    CudaBackward, CudaForward, CudaGradient, CudaInput, CudaRandom, TICKETS,
};
use crformer::write::Write;
use half::bf16;

use crate::run::Subject;
use crate::work::Direction;

/// An operation with the memory of its passes.
pub struct Run<'a> {
    device: &'a Device,
    precision: Precision,
    subject: &'a Subject,
    /// In the precision of the run; of parameters in f32 too.
    working: Vec<Buffer>,
    full: Vec<Option<Buffer>>,
    out: Buffer,
    kept: Vec<Buffer>,
    dout: Buffer,
    gradients: Vec<Option<Buffer>>,
    workspaces: [Buffer; 2],
    tickets: Buffer,
    step: Buffer,
}

impl<'a> Run<'a> {
    pub fn new(device: &'a Device, subject: &'a Subject, precision: Precision) -> Result<Self> {
        let Subject { op, types, signature, .. } = subject;
        let (mut normal, mut indices) = (subject.normal(), subject.indices());
        let parameters = op.on_cuda().parameters();
        let (mut working, mut full) = (Vec::new(), Vec::new());
        for (i, of) in types.iter().enumerate() {
            if of.kind == Kind::Index {
                let values = indices(of.shape.len());
                working.push(filled(device, bytemuck::cast_slice(&values))?);
                full.push(None);
                continue;
            }
            let values = normal(of.shape.len());
            working.push(filled(device, &encoded(&values, stored(of, precision)))?);
            let wanted = parameters.contains(&i).then(|| bytemuck::cast_slice(&values));
            full.push(wanted.map(|bytes| filled(device, bytes)).transpose()?);
        }
        let blank =
            |of: &TensorType| device.allocate(of.shape.len() * stored(of, precision).bytes());
        let gradient = |(i, of): (usize, &TensorType)| {
            let bytes = of.shape.len() * of_gradient(op, i, of, precision).bytes();
            signature.differentiable[i].then(|| device.allocate(bytes)).transpose()
        };
        let dout = encoded(&normal(signature.out.shape.len()), stored(&signature.out, precision));
        let need = op.on_cuda().workspace(&types.iter().collect::<Vec<_>>(), precision);
        let run = Self {
            working,
            full,
            out: blank(&signature.out)?,
            kept: signature.kept.iter().map(blank).collect::<Result<_>>()?,
            dout: filled(device, &dout)?,
            gradients: types.iter().enumerate().map(gradient).collect::<Result<_>>()?,
            workspaces: [device.allocate(need.forward)?, device.allocate(need.backward)?],
            tickets: device.zeros(TICKETS * size_of::<u32>())?,
            step: device.zeros(size_of::<u64>())?,
            device,
            precision,
            subject,
        };
        // A backward pass reads what it leaves.
        run.forward().map(|()| run)
    }

    /// Queues one pass.
    fn pass(&self, direction: Direction) -> Result<()> {
        match direction {
            Direction::Forward => self.forward(),
            Direction::Backward => self.backward(),
        }
    }

    fn forward(&self) -> Result<()> {
        self.subject.op.on_cuda().forward(&CudaForward {
            device: self.device,
            precision: self.precision,
            types: self.subject.types.iter().collect(),
            inputs: (0..self.working.len()).map(|i| self.input(i)).collect(),
            out: self.out.pointer(),
            kept: self.kept.iter().map(Buffer::pointer).collect(),
            workspace: self.workspaces[0].pointer(),
            tickets: self.tickets.pointer(),
            random: self.random(),
        })
    }

    fn backward(&self) -> Result<()> {
        let gradient = |g: &Option<Buffer>| {
            g.as_ref().map(|g| CudaGradient { values: g.pointer(), write: Write::Set })
        };
        self.subject.op.on_cuda().backward(&CudaBackward {
            device: self.device,
            precision: self.precision,
            types: self.subject.types.iter().collect(),
            inputs: (0..self.working.len()).map(|i| self.input(i)).collect(),
            out: self.out.pointer(),
            kept: self.kept.iter().map(Buffer::pointer).collect(),
            dout: self.dout.pointer(),
            dinputs: self.gradients.iter().map(gradient).collect(),
            workspace: self.workspaces[1].pointer(),
            tickets: self.tickets.pointer(),
            random: self.random(),
        })
    }

    fn input(&self, i: usize) -> CudaInput {
        let working = self.working[i].pointer();
        let full = match (&self.full[i], stored(&self.subject.types[i], self.precision)) {
            (Some(full), _) => full.pointer(),
            (None, Precision::F32) => working,
            (None, Precision::Bf16) => Pointer::NULL,
        };
        CudaInput { working, full }
    }

    fn random(&self) -> CudaRandom {
        CudaRandom { seed: 3, node: 3, step: self.step.pointer() }
    }
}

/// How long a replay should take at least, so that the time between replays does not count.
const REPLAY: Duration = Duration::from_millis(1);
const MOST_PASSES: u64 = 100;

/// Some passes in a row, recorded.
///
/// They find their numbers in the device's cache where these fit in it.
pub struct Repeated<'a> {
    device: &'a Device,
    capture: Capture,
    passes: u64,
}

impl<'a> Repeated<'a> {
    /// Runs a pass twice, which loads its kernels and says how many make a replay.
    pub fn new(device: &'a Device, run: &Run<'_>, direction: Direction) -> Result<Self> {
        let pass = || run.pass(direction);
        pass()?;
        device.synchronize()?;
        let start = Instant::now();
        pass()?;
        device.synchronize()?;
        let took = start.elapsed().as_nanos().max(1);
        let passes = (REPLAY.as_nanos().div_ceil(took) as u64).min(MOST_PASSES);
        let capture = device.capture(|| (0..passes).try_for_each(|_| pass()))?;
        Ok(Self { device, capture, passes })
    }

    /// What `count` passes take.
    pub fn time(&self, count: u64) -> Result<Duration> {
        let replays = count.div_ceil(self.passes);
        let start = Instant::now();
        (0..replays).try_for_each(|_| self.device.replay(&self.capture))?;
        self.device.synchronize()?;
        Ok(start.elapsed().mul_f64(count as f64 / (replays * self.passes) as f64))
    }
}

/// # Errors
/// A run would need more memory than the device has free.
pub fn check_memory(device: &Device, subject: &Subject, precision: Precision) -> Result<()> {
    let Subject { op, types, signature, .. } = subject;
    let bytes = |of: &TensorType| of.shape.len() * stored(of, precision).bytes();
    let parameters = op.on_cuda().parameters();
    let inputs: usize = types.iter().map(bytes).sum();
    let full: usize = parameters.iter().map(|&i| 4 * types[i].shape.len()).sum();
    let gradients = types.iter().enumerate().filter(|(i, _)| signature.differentiable[*i]);
    let gradients =
        gradients.map(|(i, t)| t.shape.len() * of_gradient(op, i, t, precision).bytes());
    let kept: usize = signature.kept.iter().map(bytes).sum();
    let work = op.on_cuda().workspace(&types.iter().collect::<Vec<_>>(), precision);
    let passes = 2 * bytes(&signature.out) + kept + work.forward + work.backward;
    let need = inputs + full + gradients.sum::<usize>() + passes;
    device.synchronize()?;
    let (free, total) = device.memory()?;
    match need <= free {
        true => Ok(()),
        false => Err(Error::memory(format!(
            "{} MiB are needed on {}, which has {} MiB free of {}",
            need >> 20,
            device.name(),
            free >> 20,
            total >> 20
        ))),
    }
}

/// Of a gradient: f32 for a parameter's.
fn of_gradient(op: &Op, i: usize, of: &TensorType, precision: Precision) -> Precision {
    match op.on_cuda().parameters().contains(&i) {
        true => Precision::F32,
        false => stored(of, precision),
    }
}

/// How a device keeps a tensor in memory.
fn stored(of: &TensorType, precision: Precision) -> Precision {
    if of.kind == Kind::Activation { precision } else { Precision::F32 }
}

fn encoded(values: &[f32], format: Precision) -> Vec<u8> {
    match format {
        Precision::F32 => bytemuck::cast_slice(values).to_vec(),
        Precision::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
    }
}

fn filled(device: &Device, bytes: &[u8]) -> Result<Buffer> {
    let buffer = device.allocate(bytes.len())?;
    device.upload(&buffer, 0, bytes)?;
    Ok(buffer)
}
