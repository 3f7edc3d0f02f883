//! A model that learns: one update from a few batches.

use super::settings::{Hidden, Settings};
use super::{memory, pattern};
use crate::data::loader::{Batch, Loader};
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Machine, Session, Slot, Values, ValuesMut};
use crate::graph::{Graph, Reverse, TensorId};
use crate::model::folder::{ModelFolder, initialise};
use crate::model::pretrained::{load_bert, load_swin};
use crate::model::{Build, Crformer, Losses};
use crate::optim::adamw::{Rate, Update};
use crate::optim::schedule::Schedule;

/// A training graph on a machine, and how it is updated.
pub struct Trainer {
    session: Box<dyn Session>,
    image: TensorId,
    tokens: TensorId,
    word_mask: TensorId,
    losses: Losses,
    accumulation: usize,
    schedule: Schedule,
    /// Everything of an update but its number.
    update: Update,
    /// Weight decay of each trained parameter.
    decays: Vec<f64>,
    /// The batch that the session's inputs hold already, or why they do not.
    written: Option<Result<Batch>>,
    /// What the user should be told of the session.
    note: Option<String>,
}

/// What one update saw; losses are means over its micro-batches.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    pub loss: f64,
    pub segmentation: f64,
    pub reconstruction: Option<f64>,
    /// Root mean squares of `F_re` and `F_pt` (eq. 13, 14).
    pub features: Option<[f64; 2]>,
    pub gradient_norm: f64,
    pub learning_rate: f64,
}

impl Trainer {
    /// Builds the graph for a run of `steps` updates; its weights are still to be written.
    pub fn new(settings: &Settings, steps: u64, machine: &Machine) -> Result<Self> {
        let (training, optimiser) = (&settings.training, &settings.optimiser);
        let keep_hidden = settings.run.hidden != Hidden::Recompute;
        let build = Build { keep_hidden, ..Build::training(training.batch) };
        let mut model = Crformer::new(&settings.model, build)?;
        let losses = model.losses.take().ok_or_else(|| Error::usage("a graph without losses"))?;
        let names: Vec<&str> = model.graph.parameters().map(|(_, t)| t.name.as_str()).collect();
        pattern::check("optimiser.frozen", &optimiser.frozen, &names)?;
        pattern::check("optimiser.no_decay", &optimiser.no_decay, &names)?;
        let wanted = |name: &str| name != "image" && !pattern::any(&optimiser.frozen, name);
        let reverse = Reverse::new(&model.graph, losses.total, wanted)?;
        if let Some(width) = machine.width_on_cpu() {
            memory::check(&model.graph, &reverse, width)?;
        }
        let (session, note) = session(model.graph, reverse, settings, machine)?;
        if session.trained().is_empty() {
            return Err(Error::usage("optimiser.frozen leaves nothing to be trained"));
        }
        let decay_of = |name: &str| match pattern::any(&optimiser.no_decay, name) {
            true => 0.0,
            false => optimiser.decay,
        };
        let graph = session.graph();
        let decays = session.trained().iter().map(|&t| decay_of(&graph.get(t).name)).collect();
        Ok(Self {
            image: model.image,
            tokens: model.tokens,
            word_mask: model.word_mask,
            losses,
            accumulation: training.accumulation,
            schedule: Schedule {
                base: optimiser.learning_rate,
                warmup: training.warmup,
                steps,
                power: training.power,
            },
            update: Update {
                decay: optimiser.kind.into(),
                betas: (optimiser.betas[0], optimiser.betas[1]),
                eps: optimiser.eps,
                step: 0,
                clip: training.clip,
            },
            decays,
            written: None,
            note,
            session,
        })
    }

    /// Takes the weights of `initial.model`, or draws them from the seed and puts the pretrained
    /// encoders into them.
    ///
    /// Returns what the user should be told.
    pub fn begin(&mut self, settings: &Settings) -> Result<Vec<String>> {
        let initial = &settings.initial;
        if !initial.model.is_empty() {
            return ModelFolder::open(initial.model.as_ref())?.load(self.session.as_mut());
        }
        initialise(self.session.as_mut(), settings.training.seed)?;
        let (session, model) = (self.session.as_mut(), &settings.model);
        let mut notes = Vec::new();
        if !initial.image_encoder.is_empty() {
            load_swin(session, model, initial.image_encoder.as_ref())
                .map_err(|e| e.at("initial.image_encoder"))?;
            notes.push(format!("image encoder from {}", initial.image_encoder));
        }
        if !initial.text_encoder.is_empty() {
            load_bert(session, model, initial.text_encoder.as_ref())
                .map_err(|e| e.at("initial.text_encoder"))?;
            notes.push(format!("text encoder from {}", initial.text_encoder));
        }
        Ok(notes)
    }

    /// What the user should be told of how the machine's memory is used.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    pub fn session(&self) -> &dyn Session {
        self.session.as_ref()
    }

    pub fn session_mut(&mut self) -> &mut dyn Session {
        self.session.as_mut()
    }

    /// Update number `step`, counted from 0.
    ///
    /// # Errors
    /// A sample that cannot be read; a loss or a gradient that is not finite, before it reaches
    /// the parameters.
    pub fn step(&mut self, step: u64, loader: &mut Loader) -> Result<Seen> {
        let mut seen = Seen { learning_rate: self.schedule.rate(step), ..Seen::default() };
        for part in 0..self.accumulation {
            self.micro_batch(step, part, loader, &mut seen)
                .map_err(|e| e.at(format!("step {}", step + 1)))?;
        }
        Ok(seen)
    }

    /// Queues the passes of a micro-batch, after the last one the update, and brings the next samples
    /// to the machine while it works; only then looks at what came out.
    fn micro_batch(
        &mut self,
        step: u64,
        part: usize,
        loader: &mut Loader,
        seen: &mut Seen,
    ) -> Result<()> {
        let batch = match self.written.take() {
            Some(batch) => batch?,
            None => {
                self.write_next(loader);
                let ran_out = || Err(Error::usage("the samples ran out"));
                self.written.take().unwrap_or_else(ran_out)?
            }
        };
        // Random numbers of drop path and dropout differ between micro-batches.
        let pass = step * self.accumulation as u64 + part as u64;
        let share = 1.0 / self.accumulation as f64;
        let last = part + 1 == self.accumulation;
        self.session.forward(pass)?;
        self.session.backward(pass, share, part > 0)?;
        if last {
            self.update(step, seen.learning_rate)?;
        }
        self.write_next(loader);
        self.look(share, seen)?;
        if last {
            seen.gradient_norm = self.session.gradient_norm()?;
        }
        if !seen.loss.is_finite() || !seen.gradient_norm.is_finite() {
            self.write(&batch)?;
            return Err(self.not_finite(&batch, pass, share, seen));
        }
        Ok(())
    }

    /// Takes the next batch, if there is one, and writes it. What goes wrong is said when the batch is needed.
    fn write_next(&mut self, loader: &mut Loader) {
        let written = |batch: Batch| self.write(&batch).map(|()| batch);
        self.written = loader.next().map(|batch| batch.and_then(written));
    }

    fn write(&mut self, batch: &Batch) -> Result<()> {
        let session = &mut self.session;
        session.write(self.image, Slot::Value, Values::F32(&batch.images))?;
        session.write(self.tokens, Slot::Value, Values::Index(&batch.tokens))?;
        session.write(self.word_mask, Slot::Value, Values::Index(&batch.word_mask))?;
        session.write(self.losses.mask, Slot::Value, Values::Index(&batch.masks))
    }

    fn update(&mut self, step: u64, learning_rate: f64) -> Result<()> {
        let update = Update { step: step + 1, ..self.update };
        let rate = |&decay: &f64| Rate { learning_rate, decay };
        let rates: Vec<Rate> = self.decays.iter().map(rate).collect();
        self.session.update(&update, &rates)
    }

    /// Adds what a forward pass gave.
    fn look(&self, share: f64, seen: &mut Seen) -> Result<()> {
        let losses = &self.losses;
        seen.loss += share * self.scalar(losses.total)?;
        seen.segmentation += share * self.scalar(losses.segmentation)?;
        if let Some(loss) = losses.reconstruction {
            *seen.reconstruction.get_or_insert(0.0) += share * self.scalar(loss)?;
        }
        if let Some([queries, words]) = losses.features {
            let sizes = seen.features.get_or_insert([0.0; 2]);
            sizes[0] += share * self.root_mean_square(queries)?;
            sizes[1] += share * self.root_mean_square(words)?;
        }
        Ok(())
    }

    fn scalar(&self, tensor: TensorId) -> Result<f64> {
        let mut value = [0.0];
        self.session.read(tensor, Slot::Value, ValuesMut::F64(&mut value))?;
        Ok(value[0])
    }

    fn root_mean_square(&self, tensor: TensorId) -> Result<f64> {
        let mut values = vec![0.0; self.session.graph().shape(tensor).len()];
        self.session.read(tensor, Slot::Value, ValuesMut::F64(&mut values))?;
        Ok((values.iter().map(|x| x * x).sum::<f64>() / values.len().max(1) as f64).sqrt())
    }

    /// Looks for the first tensor that went bad. The parameters are still those before the update.
    fn not_finite(&mut self, batch: &Batch, pass: u64, share: f64, seen: &Seen) -> Error {
        let what = match seen.loss.is_finite() {
            true => format!("the gradient's norm is {}", seen.gradient_norm),
            false => format!("the loss is {}", seen.loss),
        };
        let first = match self.session.first_not_finite(pass, share) {
            Ok(Some(name)) => format!("the first tensor that is not finite is {name}"),
            Ok(None) => "every tensor is finite, only their sum is not".to_owned(),
            Err(error) => format!("looking for the first tensor that is not finite: {error}"),
        };
        Error::numeric(format!(
            "{what}; {first}; samples {}. A lower optimiser.learning_rate or a training.clip may \
             help; the last checkpoint stands",
            batch.ids.join(", ")
        ))
    }
}

/// A session, and what the user should be told of it: on a device it keeps what is hidden in MLPs only if that leaves
/// room for evaluations, unless the settings say what is to become of it. The CPU was asked for its memory before.
fn session(
    graph: Graph,
    reverse: Reverse,
    settings: &Settings,
    machine: &Machine,
) -> Result<(Box<dyn Session>, Option<String>)> {
    let may_recompute = settings.run.hidden == Hidden::Auto && machine.width_on_cpu().is_none();
    let (smaller, again) = (may_recompute.then(|| graph.clone()), reverse.clone());
    match (with_room(graph, reverse, settings, machine), smaller) {
        (Err(error), Some(mut smaller)) if error.kind() == ErrorKind::Memory => {
            smaller.recompute_hidden()?;
            let session = with_room(smaller, again, settings, machine)?;
            let note = "the backward pass makes what is hidden in MLPs again: to keep it takes more memory than there is";
            Ok((session, Some(note.to_owned())))
        }
        (session, _) => Ok((session?, None)),
    }
}

/// A session beside which there is room for another that judges the model, if that is to be done, so that no run ends at
/// its first evaluation.
fn with_room(
    graph: Graph,
    reverse: Reverse,
    settings: &Settings,
    machine: &Machine,
) -> Result<Box<dyn Session>> {
    let session = machine.session(graph, Some(reverse), settings.training.seed)?;
    let evaluation = &settings.evaluation;
    if machine.width_on_cpu().is_none() && !evaluation.split.is_empty() {
        let judged = Crformer::new(&settings.model, Build::inference(evaluation.batch))?;
        machine.session(judged.graph, None, 0).map_err(|e| e.at("room for evaluations"))?;
    }
    Ok(session)
}
