//! What is measured: a model on a machine, with random weights and inputs.

use std::env;
use std::path::Path;

use crformer::error::Result;
use crformer::exec::{Device, Machine, Session, Slot, Values};
use crformer::graph::{Graph, Reverse, TensorId};
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};
use crformer::optim::adamw::{Decay, Rate, Update};

use crate::support;

/// What the environment asks for.
pub struct Settings {
    pub device: Device,
    /// Of devices; the CPU computes in f32.
    pub precisions: Vec<String>,
    pub batches: Vec<usize>,
    pub config: Config,
}

impl Settings {
    pub fn from_environment() -> Result<Self> {
        let device = support::device()?;
        let (precisions, batches) = match device {
            Device::Cpu => ("f32", vec![1]),
            Device::Cuda(_) | Device::Vm => ("bf16 f32", vec![1, 8, 64]),
        };
        let chosen = env::var("CRFORMER_BENCH_PRECISION");
        let precisions = chosen.as_deref().unwrap_or(precisions).split_whitespace();
        let config = env::var_os("CRFORMER_BENCH_CONFIG");
        Ok(Self {
            device,
            precisions: precisions.map(str::to_owned).collect(),
            batches: support::batches()?.unwrap_or(batches),
            config: config.map_or(Ok(Config::default()), |path| Config::read(Path::new(&path)))?,
        })
    }

    /// The first machine that is asked for.
    pub fn machine(&self) -> Result<Machine> {
        Machine::open(self.device, self.precisions.first().map(String::as_str))
    }

    pub fn first_batch(&self) -> usize {
        self.batches.first().copied().unwrap_or(1)
    }

    /// Inference, up to logits at the picture's size, and a training step.
    pub fn builds(&self, batch: usize) -> [Build; 2] {
        let upsampled = Some(self.config.image_size);
        [Build { upsampled, ..Build::inference(batch) }, Build::training(batch)]
    }
}

/// What a session of a model begins with.
pub struct Inputs {
    /// Image, tokens, word mask.
    tensors: [TensorId; 3],
    mask: Option<TensorId>,
    batch: usize,
    side: usize,
    words: usize,
    vocabulary: usize,
}

impl Inputs {
    pub fn of(settings: &Settings, build: Build) -> Result<(Graph, Option<Reverse>, Self)> {
        let config = &settings.config;
        let model = Crformer::new(config, build)?;
        let reverse = model
            .losses
            .as_ref()
            .map(|losses| Reverse::new(&model.graph, losses.total, |name| name != "image"));
        let inputs = Self {
            tensors: [model.image, model.tokens, model.word_mask],
            mask: model.losses.as_ref().map(|losses| losses.mask),
            batch: build.batch,
            side: config.image_size,
            words: config.max_tokens,
            vocabulary: config.vocab_size,
        };
        Ok((model.graph, reverse.transpose()?, inputs))
    }

    /// Writes weights and inputs.
    pub fn fill(&self, session: &mut dyn Session) -> Result<()> {
        initialise(session, 1)?;
        let [image, tokens, word_mask] = self.tensors;
        let pixels = self.batch * self.side * self.side;
        let picture: Vec<f32> = (0..3 * pixels).map(|i| (i as f32 * 0.37).sin()).collect();
        session.write(image, Slot::Value, Values::F32(&picture))?;
        let places = self.batch * self.words;
        let id = |i: usize| ((1000 + i) % self.vocabulary) as i32;
        let ids: Vec<i32> = (0..places).map(id).collect();
        session.write(tokens, Slot::Value, Values::Index(&ids))?;
        let real: Vec<i32> = (0..places).map(|i| i32::from(i % self.words < 8)).collect();
        session.write(word_mask, Slot::Value, Values::Index(&real))?;
        let Some(mask) = self.mask else { return Ok(()) };
        let object: Vec<i32> =
            (0..pixels).map(|i| i32::from(i % self.side < self.side * 5 / 12)).collect();
        session.write(mask, Slot::Value, Values::Index(&object))
    }
}

/// Passes of one kind.
pub struct Case {
    session: Box<dyn Session>,
    machine: Machine,
    rates: Vec<Rate>,
    step: u64,
    trains: bool,
}

impl Case {
    /// # Errors
    /// Too little memory on the device.
    pub fn new(settings: &Settings, machine: &Machine, build: Build) -> Result<Self> {
        let (graph, reverse, inputs) = Inputs::of(settings, build)?;
        let mut session = machine.session(graph, reverse, 0)?;
        inputs.fill(session.as_mut())?;
        let rates = vec![Rate { learning_rate: 1e-9, decay: 0.01 }; session.trained().len()];
        Ok(Self { session, machine: machine.clone(), rates, step: 0, trains: build.losses })
    }

    /// An inference, or forward, backward and AdamW's update; until the machine is done with it.
    pub fn pass(&mut self) -> Result<()> {
        self.session.forward(self.step)?;
        if self.trains {
            self.session.backward(self.step, 1.0, false)?;
            self.step += 1;
            let (decay, step) = (Decay::Decoupled, self.step);
            let update = Update { decay, betas: (0.9, 0.999), eps: 1e-8, step, clip: 0.0 };
            self.session.update(&update, &self.rates)?;
        }
        match &self.machine {
            Machine::Cuda { device, .. } => device.synchronize(),
            Machine::Cpu | Machine::CpuInDouble => Ok(()),
        }
    }

    /// In GiB.
    pub fn memory(&self) -> f64 {
        self.session.memory() as f64 / (1u64 << 30) as f64
    }
}
