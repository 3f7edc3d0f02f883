//! One operation on a CUDA device with memory of its own: the passes that a session makes for a node, without a graph.
//!
//! For whoever wants the numbers, the time or the counts of a single operation.

use super::formats::{Format, count, decode, encode};
use crate::cuda::arguments::Pointer;
use crate::cuda::device::Device;
use crate::cuda::memory::Buffer;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::exec::session::Values;
use crate::op::contract::{Kind, Signature, TensorType};
use crate::op::device::{
    CudaBackward, CudaForward, CudaGradient, CudaInput, CudaRandom, OnCuda, TICKETS,
};
use crate::write::Write;

/// Which tensor of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Input(usize),
    Out,
    /// The gradient of the output.
    Dout,
    /// The gradient of an input.
    Dinput(usize),
}

/// An operation at its inputs, with everything that its passes touch.
pub struct SingleOperation<'a> {
    device: &'a Device,
    precision: Precision,
    op: &'a dyn OnCuda,
    types: Vec<TensorType>,
    signature: Signature,
    /// In the precision; parameters in f32 too where that is bf16.
    inputs: Vec<(Buffer, Option<Buffer>)>,
    out: Buffer,
    kept: Vec<Buffer>,
    dout: Option<Buffer>,
    dinputs: Vec<Option<(Buffer, Write)>>,
    workspaces: [Option<Buffer>; 2],
    tickets: Buffer,
    /// Seed and node of the numbers that it drops by.
    drawn: (u64, usize),
    step: Buffer,
}

impl<'a> SingleOperation<'a> {
    /// For inference: nothing is kept, and there is no backward pass. Nothing is written to its memory yet.
    ///
    /// # Errors
    /// Inputs that the operation does not take; too little memory.
    pub fn new(
        device: &'a Device,
        op: &'a dyn OnCuda,
        types: &[&TensorType],
        precision: Precision,
    ) -> Result<Self> {
        let signature = op.signature(types)?;
        let need = op.workspace(types, precision);
        let stored = |of: &TensorType| blank(device, of, Format::of(of.kind, precision));
        let parameters = op.parameters();
        let input = |(i, &of): (usize, &&TensorType)| {
            let rounded = Format::of(of.kind, precision) == Format::Bf16;
            let full = rounded && parameters.contains(&i);
            Ok((stored(of)?, full.then(|| blank(device, of, Format::F32)).transpose()?))
        };
        Ok(Self {
            inputs: types.iter().enumerate().map(input).collect::<Result<_>>()?,
            out: stored(&signature.out)?,
            kept: Vec::new(),
            dout: None,
            dinputs: Vec::new(),
            workspaces: [Some(device.allocate(need.forward)?), None],
            tickets: device.zeros(TICKETS * size_of::<u32>())?,
            drawn: (1, 1),
            step: device.zeros(size_of::<u64>())?,
            device,
            precision,
            op,
            types: types.iter().map(|&of| of.clone()).collect(),
            signature,
        })
    }

    /// For training: what a backward pass reads is kept, and it writes the gradient of each input as `writes` says, or not
    /// at all.
    ///
    /// # Errors
    /// Too little memory.
    pub fn with_backward(mut self, writes: &[Option<Write>]) -> Result<Self> {
        let (device, precision) = (self.device, self.precision);
        let stored = |of: &TensorType| blank(device, of, Format::of(of.kind, precision));
        let dinput = |(i, write): (usize, &Option<Write>)| {
            let buffer = || blank(device, &self.types[i], self.gradient_format(i));
            let with = |write| Ok((buffer()?, write));
            write.map(with).transpose()
        };
        self.dinputs = writes.iter().enumerate().map(dinput).collect::<Result<_>>()?;
        self.kept = self.signature.kept.iter().map(stored).collect::<Result<_>>()?;
        self.dout = Some(stored(&self.signature.out)?);
        let need = self.op.workspace(&self.types.iter().collect::<Vec<_>>(), precision);
        self.workspaces[1] = Some(device.allocate(need.backward)?);
        Ok(self)
    }

    /// Drops by the numbers of `Philox::of_node(seed, step, node)`.
    ///
    /// # Errors
    /// The device failed.
    pub fn draw_from(&mut self, seed: u64, step: u64, node: usize) -> Result<()> {
        self.drawn = (seed, node);
        self.device.upload(&self.step, 0, &step.to_le_bytes())
    }

    /// # Errors
    /// A part that is not there, or another number of elements than it has.
    pub fn write(&self, part: Part, values: Values) -> Result<()> {
        let (of, buffer, format) = self.find(part)?;
        let (found, indices) = (count(&values), matches!(values, Values::Index(_)));
        if found != of.shape.len() || indices != (of.kind == Kind::Index) {
            let name = self.op.name();
            return Err(Error::usage(format!("{name}: {part:?} {of} is not {found} numbers")));
        }
        let put = |buffer: &Buffer, format: Format| {
            let mut bytes = vec![0; found * format.bytes()];
            encode(values, format, &mut bytes);
            self.device.upload(buffer, 0, &bytes)
        };
        put(buffer, format)?;
        match part {
            Part::Input(i) => self.inputs[i].1.iter().try_for_each(|full| put(full, Format::F32)),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A part that is not there; the device failed.
    pub fn read(&self, part: Part) -> Result<Vec<f32>> {
        let (of, buffer, format) = self.find(part)?;
        let mut bytes = vec![0; of.shape.len() * format.bytes()];
        self.device.download(buffer, 0, &mut bytes)?;
        Ok(decode(&bytes, format).collect())
    }

    /// Whether the counters are as every kernel has to leave them.
    ///
    /// # Errors
    /// The device failed.
    pub fn tickets_are_zero(&self) -> Result<bool> {
        let mut left = vec![0; self.tickets.len()];
        self.device.download(&self.tickets, 0, &mut left)?;
        Ok(left.iter().all(|&byte| byte == 0))
    }

    /// Scratch memory lives for a pass only. There is no pass after this.
    pub fn free_workspaces(&mut self) {
        self.workspaces = [None, None];
    }

    /// Queues the forward pass.
    ///
    /// # Errors
    /// A launch failed.
    pub fn forward(&self) -> Result<()> {
        self.op.forward(&CudaForward {
            device: self.device,
            precision: self.precision,
            types: self.types.iter().collect(),
            inputs: (0..self.types.len()).map(|i| self.input(i)).collect(),
            out: self.out.pointer(),
            kept: self.kept.iter().map(Buffer::pointer).collect(),
            workspace: pointer(self.workspaces[0].as_ref()),
            tickets: self.tickets.pointer(),
            random: self.random(),
        })
    }

    /// Queues the backward pass.
    ///
    /// # Errors
    /// A launch failed.
    pub fn backward(&self) -> Result<()> {
        let signature = &self.signature;
        // What the pass must not read has no address.
        let nothing = CudaInput { working: Pointer::NULL, full: Pointer::NULL };
        let inputs = (0..self.types.len()).zip(&signature.reads_inputs);
        let gradient = |d: &Option<(Buffer, Write)>| {
            d.as_ref().map(|(d, write)| CudaGradient { values: d.pointer(), write: *write })
        };
        self.op.backward(&CudaBackward {
            device: self.device,
            precision: self.precision,
            types: self.types.iter().collect(),
            inputs: inputs.map(|(i, &read)| if read { self.input(i) } else { nothing }).collect(),
            out: pointer(Some(&self.out).filter(|_| signature.reads_out)),
            kept: self.kept.iter().map(Buffer::pointer).collect(),
            dout: pointer(self.dout.as_ref()),
            dinputs: self.dinputs.iter().map(gradient).collect(),
            workspace: pointer(self.workspaces[1].as_ref()),
            tickets: self.tickets.pointer(),
            random: self.random(),
        })
    }

    fn input(&self, i: usize) -> CudaInput {
        let (working, full) = &self.inputs[i];
        let full = match Format::of(self.types[i].kind, self.precision) {
            Format::F32 => Some(working),
            Format::Bf16 | Format::I32 => full.as_ref(),
        };
        CudaInput { working: working.pointer(), full: pointer(full) }
    }

    fn random(&self) -> CudaRandom {
        let (seed, node) = self.drawn;
        CudaRandom { seed, node, step: self.step.pointer() }
    }

    /// Of the gradient of an input: f32 for a parameter's.
    fn gradient_format(&self, i: usize) -> Format {
        match self.op.parameters().contains(&i) {
            true => Format::F32,
            false => Format::of(self.types[i].kind, self.precision),
        }
    }

    fn find(&self, part: Part) -> Result<(&TensorType, &Buffer, Format)> {
        let of = match part {
            Part::Input(i) | Part::Dinput(i) => self.types.get(i),
            Part::Out | Part::Dout => Some(&self.signature.out),
        };
        let buffer = match part {
            Part::Input(i) => self.inputs.get(i).map(|(working, _)| working),
            Part::Out => Some(&self.out),
            Part::Dout => self.dout.as_ref(),
            Part::Dinput(i) => self.dinputs.get(i).and_then(|d| Some(&d.as_ref()?.0)),
        };
        let (Some(of), Some(buffer)) = (of, buffer) else {
            return Err(Error::usage(format!("{} has no {part:?} here", self.op.name())));
        };
        let format = match part {
            Part::Dinput(i) => self.gradient_format(i),
            _ => Format::of(of.kind, self.precision),
        };
        Ok((of, buffer, format))
    }
}

fn blank(device: &Device, of: &TensorType, format: Format) -> Result<Buffer> {
    device.allocate(of.shape.len() * format.bytes())
}

/// Null of nothing.
fn pointer(buffer: Option<&Buffer>) -> Pointer {
    buffer.map_or(Pointer::NULL, Buffer::pointer)
}
