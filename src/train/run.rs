//! A run from its first update, or from its last checkpoint, to its end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::checkpoint::Checkpoints;
use super::evaluate::Evaluator;
use super::log::{Log, evaluation_line, update_line};
use super::metrics::Scores;
use super::phrases::{Split, SplitPlace};
use super::place::{self, METRICS, Place};
use super::progress::{EvaluationProgress, Progress};
use super::settings::Settings;
use super::signals::Stop;
use super::source::{Course, EvaluationSource};
use super::state::{Best, State};
use super::trainer::{Seen, Trainer};
use crate::data::loader::{Loader, Source};
use crate::data::wordpiece::Tokenizer;
use crate::error::{Error, ErrorKind, Result};
use crate::exec::{Machine, Session};

/// Where a run is kept, what computes it and how far it goes this time.
#[derive(Clone)]
pub struct Options {
    pub out: PathBuf,
    /// Goes on with the run that stands in `out`, if one does.
    pub resume: bool,
    /// Saves and ends after this update, the course of the run unchanged.
    pub stop_at: Option<u64>,
    pub machine: Machine,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finished {
    pub step: u64,
    /// Updates of the whole run.
    pub steps: u64,
    pub best: Option<Best>,
}

/// Trains until the end, `stop_at`, or `stop`.
///
/// # Errors
/// Of kind `Interrupted` or `Terminated` after a stop that was asked for; the state is saved. Any
/// other error leaves the last checkpoint as it was.
pub fn train(settings: &Settings, options: &Options, stop: &Stop) -> Result<Finished> {
    place::check(&options.out, settings, options.resume)?;
    let mut run = Run::prepare(settings, options)?;
    let ended = run.go(options.stop_at, stop);
    run.progress.finish();
    ended?;
    Ok(Finished { step: run.state.step, steps: run.course.steps, best: run.state.best })
}

struct Run<'a> {
    settings: &'a Settings,
    tokenizer: Tokenizer,
    course: Course,
    training: Arc<Split>,
    /// What is evaluated, if anything.
    validation: Option<Arc<EvaluationSource>>,
    trainer: Trainer,
    checkpoints: Checkpoints,
    log: Log,
    state: State,
    /// The state that is on disk.
    saved: Option<State>,
    progress: Progress,
    machine: Machine,
    _place: Place,
}

impl<'a> Run<'a> {
    /// Reads and builds everything, looks for a checkpoint; only then writes to the folder.
    fn prepare(settings: &'a Settings, options: &Options) -> Result<Self> {
        let training = &settings.training;
        let tokenizer = tokenizer(settings)?;
        let learnt = Arc::new(open(settings, &settings.data.split, &tokenizer)?);
        let validation = match settings.evaluation.split.as_str() {
            "" => None,
            split => Some(Arc::new(open(settings, split, &tokenizer)?)),
        };
        let count = learnt.referred.len();
        let images = training.batch * training.accumulation;
        let course = Course::new(count, images, training.epochs, training.steps)?;
        let mut trainer = Trainer::new(settings, course.steps, &options.machine)?;
        let mut notes = learnt.notes.clone();
        notes.extend(trainer.note().map(str::to_owned));
        notes.extend(validation.iter().flat_map(|split| split.notes.clone()));
        let mut begun = !Checkpoints::stand_in(&options.out);
        if begun {
            notes.extend(trainer.begin(settings)?);
        }
        let place = place::take(&options.out, settings)?;
        let checkpoints = Checkpoints::new(&place.path, &settings.model, settings.run.keep)?;
        let (saved, more) = checkpoints.load(trainer.session_mut())?;
        notes.extend(more);
        begun |= saved.is_some();
        if !begun {
            notes.extend(trainer.begin(settings)?);
        }
        let data = format!("{:016x}", learnt.fingerprint());
        let state = saved.clone().unwrap_or(State { data: data.clone(), ..State::default() });
        if state.data != data {
            let message = "the sentences of the training split are not those this run began with";
            return Err(Error::data(settings.data.root.as_str(), message));
        }
        let (log, note) = Log::open(&place.path.join(METRICS), state.metrics_len)?;
        notes.extend(note);
        let progress = Progress::new(state.step, course.steps, images);
        let validation = validation.map(|split| Arc::new(EvaluationSource::new(split)));
        let training = learnt;
        let run = Self {
            settings,
            tokenizer,
            course,
            training,
            validation,
            trainer,
            checkpoints,
            log,
            state,
            saved,
            progress,
            machine: options.machine.clone(),
            _place: place,
        };
        run.introduce(&notes);
        Ok(run)
    }

    fn introduce(&self, notes: &[String]) {
        let session = self.trainer.session();
        let sizes = |ids: &mut dyn Iterator<Item = usize>| ids.sum::<usize>() as f64 / 1e6;
        let all = sizes(&mut session.graph().parameters().map(|(_, t)| t.of.shape.len()));
        let learning =
            sizes(&mut session.trained().iter().map(|&t| session.graph().shape(t).len()));
        let memory = session.memory() as f64 / (1u64 << 30) as f64;
        notes.iter().for_each(|note| self.progress.say(note));
        self.progress.say(&format!(
            "{} references, {} sentences; {all:.2} M parameters, {learning:.2} M trained; \
             {memory:.2} GiB",
            self.training.referred.len(),
            self.training.phrases(),
        ));
        let Course { steps, images, per_epoch, .. } = self.course;
        self.progress.say(&match self.state.step {
            0 => format!("{steps} steps of {images} images, {per_epoch} an epoch"),
            step => format!("goes on at step {step} of {steps}"),
        });
    }

    fn go(&mut self, stop_at: Option<u64>, stop: &Stop) -> Result<()> {
        let seed = self.settings.training.seed;
        let source: Arc<dyn Source> = Arc::new(self.course.source(self.training.clone(), seed));
        let order = self.course.order(seed, self.state.step);
        let (batch, threads) = (self.settings.training.batch, self.settings.run.loader_threads);
        let mut loader = Loader::new(source, order, batch, false, threads, 2)?;
        loop {
            if self.evaluation_is_due() && stop.requested().is_none() {
                let judged = self.evaluate(stop);
                if judged.is_err() {
                    self.save()?; // the updates before it are good
                }
                judged?;
            }
            let ends = self.state.step >= self.course.steps
                || stop_at.is_some_and(|at| self.state.step >= at);
            if let Some(kind) = stop.requested() {
                self.save()?;
                return Err(self.stopped(kind));
            }
            if ends {
                return self.save();
            }
            self.update(&mut loader)?;
        }
    }

    fn update(&mut self, loader: &mut Loader) -> Result<()> {
        let run = &self.settings.run;
        let begun = Instant::now();
        let seen = self.trainer.step(self.state.step, loader)?;
        self.state.step += 1;
        let step = self.state.step;
        self.progress.advance(step, begun.elapsed(), &seen);
        if step.is_multiple_of(run.log_every) || step == self.course.steps {
            self.log_update(step, &seen)?;
        }
        if run.save_every > 0 && step.is_multiple_of(run.save_every) && !self.evaluation_is_due() {
            self.save()?;
        }
        Ok(())
    }

    fn log_update(&mut self, step: u64, seen: &Seen) -> Result<()> {
        let epoch = self.course.epoch(step - 1) + 1;
        self.log.write(&update_line(step, epoch, seen, self.progress.speed()))?;
        self.progress.line(step, seen);
        Ok(())
    }

    /// Whether the model as it is now should be judged and has not been.
    fn evaluation_is_due(&self) -> bool {
        let every = match self.settings.evaluation.every {
            0 => self.course.per_epoch,
            every => every,
        };
        let step = self.state.step;
        self.validation.is_some()
            && step > 0
            && (step.is_multiple_of(every) || step == self.course.steps)
            && self.state.evaluated != Some(step)
    }

    /// Judges the model, keeps it if it is the best, and saves; does nothing more if stopped.
    fn evaluate(&mut self, stop: &Stop) -> Result<()> {
        let Some(source) = &self.validation else { return Ok(()) };
        let settings = &self.settings.evaluation;
        let weights = |session: &mut dyn Session| copy_weights(self.trainer.session(), session);
        let model = &self.settings.model;
        let mut evaluator = Evaluator::new(model, settings.batch, &self.machine, weights)?;
        let mut progress = EvaluationProgress::new(source.len());
        let threads = self.settings.run.loader_threads;
        let judged =
            evaluator.run(source, settings.protocol, threads, stop, |n| progress.done(n))?;
        progress.finish();
        let Some(judged) = judged else { return Ok(()) };
        let scores = Scores::of(judged);
        let best = self.state.judge(scores.selected(settings.select));
        let step = self.state.step;
        let epoch = self.course.epoch(step - 1) + 1;
        self.log.write(&evaluation_line(step, epoch, &settings.split, &scores, best))?;
        let figures = scores.percent().map(|(name, value)| format!("{name} {value:.2}"));
        let mark = if best { "  best so far" } else { "" };
        let (split, figures) = (&settings.split, figures.join("  "));
        self.progress.say(&format!("step {step}  {split}  {figures}{mark}"));
        self.save()
    }

    /// Writes a checkpoint, if the last one is not of this very state.
    fn save(&mut self) -> Result<()> {
        self.state.metrics_len = self.log.flushed()?;
        if self.saved.as_ref() != Some(&self.state) {
            self.checkpoints.save(self.trainer.session(), &self.tokenizer, &self.state)?;
            self.saved = Some(self.state.clone());
        }
        Ok(())
    }

    fn stopped(&self, kind: ErrorKind) -> Error {
        let by = match kind {
            ErrorKind::Terminated => "SIGTERM",
            _ => "Ctrl-C",
        };
        let (step, steps) = (self.state.step, self.course.steps);
        let message = format!(
            "stopped by {by} after step {step} of {steps}; the state is saved, --resume goes on"
        );
        Error::new(kind, message)
    }
}

/// The tokenizer of a run, checked against the model's table of words.
fn tokenizer(settings: &Settings) -> Result<Tokenizer> {
    let path = settings.vocabulary();
    let tokenizer = Tokenizer::load(&path)?;
    let (found, room) = (tokenizer.vocab_size(), settings.model.vocab_size);
    match found <= room {
        true => Ok(tokenizer),
        false => Err(Error::usage(format!(
            "{}: has {found} tokens, but model.vocab_size is {room}; set it to {found}",
            path.display()
        ))),
    }
}

fn open(settings: &Settings, split: &str, tokenizer: &Tokenizer) -> Result<Split> {
    let data = &settings.data;
    let place = SplitPlace {
        root: PathBuf::from(&data.root),
        dataset: data.dataset.clone(),
        split_by: data.split_by.clone(),
        split: split.to_owned(),
        overlap: data.overlap.into(),
        image_size: settings.model.image_size,
        max_tokens: settings.model.max_tokens,
    };
    Split::open(place, tokenizer)
}

/// Copies the parameters that `to` has.
fn copy_weights(from: &dyn Session, to: &mut dyn Session) -> Result<()> {
    use crate::exec::{Slot, Values, ValuesMut};
    let wanted: Vec<_> = to.graph().parameters().map(|(id, t)| (id, t.name.clone())).collect();
    for (id, name) in wanted {
        let source = from.graph().find(&name);
        let source = source.ok_or_else(|| Error::usage(format!("the run has no {name}")))?;
        let mut values = vec![0.0f32; from.graph().shape(source).len()];
        from.read(source, Slot::Value, ValuesMut::F32(&mut values))?;
        to.write(id, Slot::Value, Values::F32(&values))?;
    }
    Ok(())
}
