//! One operation's tensors on the device, and its passes over them: what a session does for a node.

use crformer::cuda::arguments::Pointer;
use crformer::cuda::device::Device;
use crformer::cuda::memory::Buffer;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::op::contract::{Kind, TensorType};
use crformer::op::device::{
    CudaBackward, CudaForward, CudaGradient, CudaInput, CudaRandom, TICKETS,
};
use half::bf16;

use crate::numbers;
use crate::work::{Direction, Input, Work};

/// How a device keeps a tensor that is no parameter.
pub fn format(of: &TensorType, precision: Precision) -> Precision {
    if of.kind == Kind::Activation { precision } else { Precision::F32 }
}

/// How it keeps the gradient of an input.
pub fn gradient_format(input: &Input, precision: Precision) -> Precision {
    if input.parameter { Precision::F32 } else { format(&input.of, precision) }
}

/// Everything the passes of one operation touch.
pub struct Memory<'a> {
    device: &'a Device,
    precision: Precision,
    work: &'a Work,
    /// In the working precision, and in f32 for parameters.
    inputs: Vec<[Option<Buffer>; 2]>,
    out: Buffer,
    kept: Vec<Buffer>,
    dout: Buffer,
    gradients: Vec<Option<Buffer>>,
    workspaces: [Buffer; 2],
    tickets: Buffer,
    step: Buffer,
}

impl<'a> Memory<'a> {
    /// Inputs, the output's gradient and gradients that are added to hold numbers; nothing else does.
    ///
    /// # Errors
    /// Too little memory.
    pub fn new(device: &'a Device, precision: Precision, work: &'a Work) -> Result<Self> {
        let blank =
            |of: &TensorType| device.allocate(of.shape.len() * format(of, precision).bytes());
        let backward = work.direction == Direction::Backward;
        let need = work.op.on_cuda().workspace(&work.types(), precision);
        let out = &work.signature.out;
        let kept: &[TensorType] = match work.direction {
            Direction::Inference => &[],
            _ => &work.signature.kept,
        };
        let dout_len = if backward { out.shape.len() } else { 0 };
        let gradient = |(i, input): (usize, &Input)| {
            let write = work.writes.get(i).copied().flatten();
            let format = gradient_format(input, precision);
            write.map(|_| filled(device, &reals(input.of.shape.len(), format))).transpose()
        };
        Ok(Self {
            device,
            precision,
            inputs: work
                .inputs
                .iter()
                .map(|i| tensor(device, i, precision))
                .collect::<Result<_>>()?,
            out: blank(out)?,
            kept: kept.iter().map(blank).collect::<Result<_>>()?,
            dout: filled(device, &reals(dout_len, format(out, precision)))?,
            gradients: work.inputs.iter().enumerate().map(gradient).collect::<Result<_>>()?,
            workspaces: [device.allocate(need.forward)?, device.allocate(need.backward)?],
            tickets: device.zeros(TICKETS * size_of::<u32>())?,
            step: device.zeros(size_of::<u64>())?,
            work,
        })
    }

    pub fn forward(&self) -> Result<()> {
        self.work.op.on_cuda().forward(&CudaForward {
            device: self.device,
            precision: self.precision,
            types: self.work.types().into_iter().collect(),
            inputs: (0..self.inputs.len()).map(|i| self.input(i)).collect(),
            out: self.out.pointer(),
            kept: self.kept.iter().map(Buffer::pointer).collect(),
            workspace: self.workspaces[0].pointer(),
            tickets: self.tickets.pointer(),
            random: self.random(),
        })
    }

    pub fn backward(&self) -> Result<()> {
        let signature = &self.work.signature;
        let nothing = CudaInput { working: Pointer::NULL, full: Pointer::NULL };
        let reads = |i: usize| if signature.reads_inputs[i] { self.input(i) } else { nothing };
        let gradient = |(values, write): (&Option<Buffer>, _)| {
            let (values, write) = (values.as_ref()?.pointer(), Option::<_>::clone(write)?);
            Some(CudaGradient { values, write })
        };
        self.work.op.on_cuda().backward(&CudaBackward {
            device: self.device,
            precision: self.precision,
            types: self.work.types().into_iter().collect(),
            inputs: (0..self.inputs.len()).map(reads).collect(),
            out: if signature.reads_out { self.out.pointer() } else { Pointer::NULL },
            kept: self.kept.iter().map(Buffer::pointer).collect(),
            dout: self.dout.pointer(),
            dinputs: self.gradients.iter().zip(&self.work.writes).map(gradient).collect(),
            workspace: self.workspaces[1].pointer(),
            tickets: self.tickets.pointer(),
            random: self.random(),
        })
    }

    fn input(&self, i: usize) -> CudaInput {
        let [working, full] =
            [0, 1].map(|j| self.inputs[i][j].as_ref().map_or(Pointer::NULL, Buffer::pointer));
        let same = self.work.inputs[i].of.kind != Kind::Index
            && format(&self.work.inputs[i].of, self.precision) == Precision::F32;
        CudaInput { working, full: if same { working } else { full } }
    }

    fn random(&self) -> CudaRandom {
        CudaRandom { seed: 1, node: 1, step: self.step.pointer() }
    }
}

/// An input in the formats in which it is kept.
fn tensor(device: &Device, input: &Input, precision: Precision) -> Result<[Option<Buffer>; 2]> {
    let len = input.of.shape.len();
    if input.of.kind == Kind::Index {
        let indices = numbers::indices(input.name.as_deref().unwrap_or_default(), len);
        return Ok([Some(filled(device, bytemuck::cast_slice(&indices))?), None]);
    }
    let working = filled(device, &reals(len, format(&input.of, precision)))?;
    let full = match input.parameter && precision == Precision::Bf16 {
        true => Some(filled(device, &reals(len, Precision::F32))?),
        false => None,
    };
    Ok([Some(working), full])
}

fn reals(len: usize, format: Precision) -> Vec<u8> {
    let numbers = numbers::reals(len);
    match format {
        Precision::F32 => numbers.flat_map(f32::to_le_bytes).collect(),
        Precision::Bf16 => numbers.flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect(),
    }
}

fn filled(device: &Device, bytes: &[u8]) -> Result<Buffer> {
    let buffer = device.allocate(bytes.len())?;
    device.upload(&buffer, 0, bytes)?;
    Ok(buffer)
}
