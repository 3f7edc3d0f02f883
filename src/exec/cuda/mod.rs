//! The CUDA session: the plan's arena on a device, both passes and the update as launches, which are
//! recorded at their second run and replayed from then on.
//!
//! Parameters, moments and gradients of parameters are f32; activations and the weights that
//! products read are in the session's precision. Inputs travel beside the work that is queued, and
//! nothing waits for the device but reading.

mod formats;
mod memory;
mod passes;
mod recording;
pub mod single;

use std::rc::Rc;

use formats::{Format, count, encode, hand_out};
use memory::Memory;
use recording::Recording;

use super::session::{Session, Slot, Values, ValuesMut};
use crate::cuda::device::Device;
use crate::cuda::memory::Buffer;
use crate::cuda::precision::Precision;
use crate::cuda::upload::Upload;
use crate::error::{Error, Result};
use crate::graph::{Graph, Origin, Reverse, TensorId};
use crate::op::contract::Kind;
use crate::optim::adamw::{Rate, Update};
use crate::optim::cuda::{self, Optimiser};

/// A graph with its memory on a CUDA device.
pub struct CudaSession {
    device: Rc<Device>,
    graph: Graph,
    reverse: Option<Reverse>,
    seed: u64,
    memory: Memory,
    trained: Vec<TensorId>,
    optimiser: Option<Optimiser>,
    /// Of the tensors that the caller writes before a pass.
    uploads: Vec<Option<Upload>>,
    records: bool,
    forward: Recording,
    /// Setting the parameters' gradients, and adding to them.
    backward: [Recording; 2],
    update: Recording,
}

impl CudaSession {
    /// Plans `graph` and takes its memory; `seed` keys the random numbers of dropout. Without
    /// `reverse` nothing is kept for a backward pass.
    ///
    /// # Errors
    /// Too little memory; an operation that cannot take its inputs on a device.
    pub fn new(
        device: Rc<Device>,
        graph: Graph,
        reverse: Option<Reverse>,
        seed: u64,
        precision: Precision,
    ) -> Result<Self> {
        let has_gradient = |t| reverse.as_ref().is_some_and(|r: &Reverse| r.has_gradient(t));
        let trained: Vec<TensorId> =
            graph.parameters().map(|(id, _)| id).filter(|&id| has_gradient(id)).collect();
        if let Some(reverse) = &reverse
            && graph.of(reverse.loss).kind != Kind::Statistic
        {
            return Err(Error::usage("on a device the loss has to be a statistic"));
        }
        let memory = Memory::new(&device, &graph, reverse.as_ref(), precision)?;
        let of_update = reverse.iter().flat_map(|_| Optimiser::MODULES);
        let of_nodes = graph.nodes().iter().flat_map(|node| node.op.on_cuda().modules());
        device.load_modules(of_nodes.chain(of_update))?;
        let optimiser = match reverse {
            Some(_) => {
                let parts = memory.trained(&graph, &trained);
                Some(Optimiser::new(&device, &parts, memory.gradients_len)?)
            }
            None => None,
        };
        let upload = |(_, tensor): (TensorId, &crate::graph::network::Tensor)| {
            let bytes = tensor.of.shape.len() * memory.format(tensor.of.kind).bytes();
            let input = tensor.origin == Origin::Input;
            input.then(|| Upload::new(&device, bytes)).transpose()
        };
        let uploads = graph.tensors().map(upload).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            device,
            graph,
            reverse,
            seed,
            memory,
            trained,
            optimiser,
            uploads,
            records: true,
            forward: Recording::default(),
            backward: Default::default(),
            update: Recording::default(),
        })
    }

    /// Whether passes are recorded at their second run and replayed from then on, as they are if
    /// nothing else is said.
    pub fn record(&mut self, records: bool) {
        self.records = records;
    }

    fn run(&self, recording: &mut Recording, work: impl FnOnce() -> Result<()>) -> Result<()> {
        match self.records {
            true => recording.run(&self.device, work),
            false => work(),
        }
    }

    fn seed_gradient(&self, loss: TensorId, seed: f64) -> Result<()> {
        let Some(place) = self.memory.plan.gradient(loss) else { return Ok(()) };
        self.device.set(&self.memory.arena, place.offset, &[(seed as f32).to_bits()])
    }

    /// Queues the last step of what the caller has written.
    fn take_inputs(&mut self) -> Result<()> {
        for (tensor, upload) in self.uploads.iter_mut().enumerate() {
            let (Some(upload), memory) = (upload, &self.memory) else { continue };
            let tensor = self.graph.tensors().nth(tensor).map(|(id, _)| id);
            let Some(tensor) = tensor else { continue };
            match (memory.of_indices(tensor), memory.plan.value(tensor)) {
                (Some(at), _) => upload.take(&self.device, &memory.indices, at)?,
                (None, Some(place)) => upload.take(&self.device, &memory.arena, place.offset)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn write_parameter(&mut self, tensor: TensorId, slot: Slot, values: Values) -> Result<()> {
        let len = self.graph.shape(tensor).len();
        let mut bytes = vec![0; len * size_of::<f32>()];
        encode(values, Format::F32, &mut bytes);
        let moment = self.memory.of_parameter_gradient(tensor, len);
        match (slot, self.memory.of_parameter(tensor), moment, &self.optimiser) {
            (Slot::Value, Some([full, copy]), _, _) => {
                self.device.upload(&self.memory.parameters, full, &bytes)?;
                if let Some(buffer) = &self.memory.copy {
                    let mut rounded = vec![0; len * Format::Bf16.bytes()];
                    encode(values, Format::Bf16, &mut rounded);
                    self.device.upload(buffer, copy, &rounded)?;
                }
                Ok(())
            }
            (Slot::FirstMoment, _, Some((at, _)), Some(optimiser)) => {
                self.device.upload(optimiser.moments()[0], at, &bytes)
            }
            (Slot::SecondMoment, _, Some((at, _)), Some(optimiser)) => {
                self.device.upload(optimiser.moments()[1], at, &bytes)
            }
            _ => Err(self.no_such(tensor, slot)),
        }
    }

    /// The bytes of what belongs to a tensor and outlives a pass, and their format.
    fn bytes_of(&self, tensor: TensorId, slot: Slot) -> Result<(Vec<u8>, Format)> {
        let of = self.graph.get(tensor);
        let len = of.of.shape.len();
        let full = |at: usize| (at, len * size_of::<f32>());
        let moment = self.memory.of_parameter_gradient(tensor, len);
        let moments = self.optimiser.as_ref().map(Optimiser::moments);
        let input = of.origin == Origin::Input;
        let lasts = match of.origin {
            Origin::Node(_) => self.graph.outputs().contains(&tensor),
            _ => true,
        };
        let in_arena = |place: Option<crate::graph::Place>| {
            let place = place?;
            Some((&self.memory.arena, (place.offset, place.len), self.memory.format(of.of.kind)))
        };
        let plan = &self.memory.plan;
        let found: Option<(&Buffer, (usize, usize), Format)> = match slot {
            Slot::Value => match self.memory.of_parameter(tensor) {
                Some([at, _]) => Some((&self.memory.parameters, full(at), Format::F32)),
                None => in_arena(plan.value(tensor).filter(|_| lasts)),
            },
            Slot::Gradient => match moment {
                Some(place) => Some((&self.memory.gradients, place, Format::F32)),
                None => in_arena(plan.gradient(tensor).filter(|_| input)),
            },
            Slot::FirstMoment => moments.zip(moment).map(|(m, place)| (m[0], place, Format::F32)),
            Slot::SecondMoment => moments.zip(moment).map(|(m, place)| (m[1], place, Format::F32)),
        };
        let (buffer, (at, len), format) = found.ok_or_else(|| self.no_such(tensor, slot))?;
        let mut bytes = vec![0; len];
        self.device.download(buffer, at, &mut bytes)?;
        Ok((bytes, format))
    }

    fn no_such(&self, tensor: TensorId, slot: Slot) -> Error {
        let name = &self.graph.get(tensor).name;
        Error::usage(format!("tensor {name} has no {slot:?} that outlives a pass"))
    }

    fn wrong_length(&self, tensor: TensorId, found: usize) -> Error {
        let tensor = self.graph.get(tensor);
        let (name, of) = (&tensor.name, &tensor.of);
        Error::usage(format!("tensor {name} {of} cannot be exchanged for {found} numbers"))
    }
}

impl Session for CudaSession {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn write(&mut self, tensor: TensorId, slot: Slot, values: Values) -> Result<()> {
        let of = self.graph.of(tensor);
        let found = count(&values);
        let indices = matches!(values, Values::Index(_));
        if found != of.shape.len() || indices != (of.kind == Kind::Index) {
            return Err(self.wrong_length(tensor, found));
        }
        let format = self.memory.format(of.kind);
        match (&mut self.uploads[tensor.index()], slot) {
            (Some(upload), Slot::Value) => {
                upload.send(&self.device, |bytes| encode(values, format, bytes))
            }
            _ => self.write_parameter(tensor, slot, values),
        }
    }

    fn read(&self, tensor: TensorId, slot: Slot, values: ValuesMut) -> Result<()> {
        let (bytes, format) = self.bytes_of(tensor, slot)?;
        let room = match &values {
            ValuesMut::F32(room) => room.len(),
            ValuesMut::F64(room) => room.len(),
        };
        match hand_out(&bytes, format, values) {
            true => Ok(()),
            false => Err(self.wrong_length(tensor, room)),
        }
    }

    fn forward(&mut self, step: u64) -> Result<()> {
        self.take_inputs()?;
        self.device.set(&self.memory.step, 0, &[step as u32, (step >> 32) as u32])?;
        let mut recording = std::mem::take(&mut self.forward);
        let done = self.run(&mut recording, || self.queue_forward());
        self.forward = recording;
        done
    }

    fn backward(&mut self, step: u64, seed: f64, accumulate: bool) -> Result<()> {
        let Some(reverse) = self.reverse.take() else { return Ok(()) };
        let which = usize::from(accumulate);
        let mut recording = std::mem::take(&mut self.backward[which]);
        self.device.set(&self.memory.step, 0, &[step as u32, (step >> 32) as u32])?;
        self.seed_gradient(reverse.loss, seed)?;
        let done = self.run(&mut recording, || self.queue_backward(&reverse, accumulate));
        self.backward[which] = recording;
        self.reverse = Some(reverse);
        done
    }

    fn update(&mut self, update: &Update, rates: &[Rate]) -> Result<()> {
        assert_eq!(rates.len(), self.trained.len(), "one rate for each trained parameter");
        let (Some(mut optimiser), Some(reverse)) = (self.optimiser.take(), &self.reverse) else {
            return Ok(());
        };
        let mut recording = std::mem::take(&mut self.update);
        let memory = cuda::Memory {
            parameters: &self.memory.parameters,
            copy: self.memory.copy.as_ref(),
            gradients: &self.memory.gradients,
            loss: self.memory.in_arena(self.memory.plan.value(reverse.loss)),
            ticket: self.memory.tickets.pointer(),
        };
        let done = optimiser
            .send(&self.device, update, rates)
            .and_then(|()| self.run(&mut recording, || optimiser.queue(&self.device, &memory)));
        self.update = recording;
        self.optimiser = Some(optimiser);
        done
    }

    fn gradient_norm(&self) -> Result<f64> {
        self.optimiser.as_ref().map_or(Ok(0.0), |optimiser| optimiser.norm(&self.device))
    }

    fn trained(&self) -> &[TensorId] {
        &self.trained
    }

    fn first_not_finite(&mut self, step: u64, seed: f64) -> Result<Option<String>> {
        self.take_inputs()?;
        self.device.set(&self.memory.step, 0, &[step as u32, (step >> 32) as u32])?;
        self.find_not_finite(seed)
    }

    fn memory(&self) -> usize {
        let uploads: usize = self.uploads.iter().flatten().map(Upload::len).sum();
        self.memory.bytes() + self.optimiser.as_ref().map_or(0, Optimiser::memory) + uploads
    }
}
