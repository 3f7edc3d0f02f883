//! Whole sessions: calls and allocations of a step of a small model, and the full model's passes counted as they run.

use std::rc::Rc;

use crformer::cuda::device::Device;
use crformer::cuda::precision::Precision;
use crformer::error::Result;
use crformer::exec::cuda::CudaSession;
use crformer::exec::{Session, Slot, Values};
use crformer::graph::{Origin, Reverse};
use crformer::model::folder::initialise;
use crformer::model::{Build, Config, Crformer};
use crformer::op::contract::Kind;

use crate::allocations;
use crate::counted::{self, OfWork};
use crate::numbers;
use crate::optimiser::{RATE, UPDATE};

/// A session with numbers in it, and the steps it has made.
pub struct Run {
    device: Rc<Device>,
    session: CudaSession,
    trains: bool,
    step: u64,
}

impl Run {
    /// # Errors
    /// Too little memory.
    pub fn new(device: &Rc<Device>, config: &Config, build: Build) -> Result<Self> {
        let model = Crformer::new(config, build)?;
        let reverse = model.losses.as_ref().map(|losses| {
            Reverse::new(&model.graph, losses.total, |_| true).expect("the loss is a scalar")
        });
        let trains = reverse.is_some();
        let device = device.clone();
        let mut session =
            CudaSession::new(device.clone(), model.graph, reverse, 0, Precision::Bf16)?;
        initialise(&mut session, 1)?;
        Ok(Self { device, session, trains, step: 0 })
    }

    /// Writes every input anew.
    pub fn fill(&mut self) -> Result<()> {
        let graph = self.session.graph();
        let inputs = graph.tensors().filter(|(_, tensor)| tensor.origin == Origin::Input);
        let inputs: Vec<_> = inputs.map(|(id, t)| (id, t.name.clone(), t.of.clone())).collect();
        for (id, name, of) in inputs {
            let len = of.shape.len();
            if of.kind == Kind::Index {
                let indices = numbers::indices(&name, len);
                self.session.write(id, Slot::Value, Values::Index(&indices))?;
            } else {
                let reals: Vec<f32> = numbers::reals(len).collect();
                self.session.write(id, Slot::Value, Values::F32(&reals))?;
            }
        }
        Ok(())
    }

    /// The forward pass; in training the others too.
    pub fn step(&mut self, rates: &[crformer::optim::adamw::Rate]) -> Result<()> {
        self.session.forward(self.step)?;
        if self.trains {
            self.session.backward(self.step, 1.0, false)?;
            self.session.update(&UPDATE, rates)?;
        }
        self.step += 1;
        Ok(())
    }

    fn rates(&self) -> Vec<crformer::optim::adamw::Rate> {
        vec![RATE; self.session.trained().len()]
    }

    /// Each pass counted by itself, behind one cache: forward, and of a training session backward and update.
    ///
    /// # Errors
    /// The device failed.
    pub fn counted(&mut self) -> Result<Vec<OfWork>> {
        self.fill()?;
        let (rates, step) = (self.rates(), self.step);
        let device = self.device.clone();
        let mut of = |pass: &mut dyn FnMut(&mut CudaSession) -> Result<()>| {
            device.synchronize()?;
            counted::begin()?;
            pass(&mut self.session)?;
            device.synchronize()?;
            counted::end()
        };
        let mut all = vec![of(&mut |session| session.forward(step))?];
        if self.trains {
            all.push(of(&mut |session| session.backward(step, 1.0, false))?);
            all.push(of(&mut |session| session.update(&UPDATE, &rates))?);
        }
        Ok(all)
    }
}

/// Of one step whose recordings are made, its inputs written anew.
#[derive(Clone, Copy, Debug)]
pub struct OfStep {
    /// Calls of the driver that gave a stream work.
    pub calls: u64,
    /// Requests of memory on the host and pieces taken on the device.
    pub allocations: usize,
}

const STEPS: usize = 4;

/// A model small enough to take steps at once.
fn small() -> Config {
    Config {
        image_size: 64,
        text_layers: 1,
        text_width: 8,
        text_heads: 2,
        text_hidden: 16,
        swin_width: 4,
        swin_depths: [2, 2, 2, 2],
        swin_heads: [1, 1, 2, 2],
        swin_window: 3,
        width: 8,
        queries: 2,
        decoder_heads: 2,
        decoder_hidden: 16,
        ..Config::default()
    }
}

/// A step of a small model; what it asks of the driver does not depend on sizes.
///
/// # Errors
/// The device failed.
pub fn of_step(device: &Rc<Device>, build: Build) -> Result<OfStep> {
    let mut run = Run::new(device, &small(), build)?;
    let rates = run.rates();
    for _ in 0..3 {
        run.fill()?;
        run.step(&rates)?;
    }
    device.synchronize()?;
    counted::begin()?;
    run.fill()?;
    run.step(&rates)?;
    device.synchronize()?;
    let calls = counted::end()?.calls;
    let free = device.memory()?.0;
    let mut done = Ok(());
    let requests = allocations::during(|| {
        done = (0..STEPS).try_for_each(|_| run.step(&rates));
    });
    done?;
    let taken = usize::from(device.memory()?.0 != free);
    Ok(OfStep { calls, allocations: requests + taken })
}
