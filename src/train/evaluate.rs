//! Judging a model on a split: masks for every sentence, and how they agree with the truth.

use std::sync::Arc;

use rayon::prelude::*;

use super::metrics::{Agreement, Protocol};
use super::signals::Stop;
use super::source::EvaluationSource;
use crate::data::loader::{Batch, Loader, Source};
use crate::error::Result;
use crate::exec::{Machine, Session, Slot, Values, ValuesMut};
use crate::graph::TensorId;
use crate::model::prediction::predict;
use crate::model::{Build, Config, Crformer};

/// A model for inference, with room for one batch.
pub struct Evaluator {
    session: Box<dyn Session>,
    image: TensorId,
    tokens: TensorId,
    word_mask: TensorId,
    logits: TensorId,
    batch: usize,
    sides: Sides,
}

/// How large what goes in and comes out is.
#[derive(Clone, Copy)]
struct Sides {
    /// Of the grid of logits.
    grid: usize,
    /// Of the picture as the model takes it.
    picture: usize,
}

impl Evaluator {
    /// Builds the graph; `weights` writes its parameters.
    pub fn new(
        config: &Config,
        batch: usize,
        machine: &Machine,
        weights: impl FnOnce(&mut dyn Session) -> Result<()>,
    ) -> Result<Self> {
        let model = Crformer::new(config, Build::inference(batch))?;
        let mut session = machine.session(model.graph, None, 0)?;
        weights(session.as_mut())?;
        Ok(Self {
            session,
            image: model.image,
            tokens: model.tokens,
            word_mask: model.word_mask,
            logits: model.logits_grid,
            batch,
            sides: Sides { grid: config.grid(), picture: config.image_size },
        })
    }

    /// Judges every sample, in order. `done` hears how many are judged.
    ///
    /// Returns `None` if `stop` asked for an end before that.
    pub fn run(
        &mut self,
        source: &Arc<EvaluationSource>,
        protocol: Protocol,
        threads: usize,
        stop: &Stop,
        mut done: impl FnMut(usize),
    ) -> Result<Option<Vec<Agreement>>> {
        let order: Vec<usize> = (0..source.len()).collect();
        let shared: Arc<dyn Source> = source.clone();
        let mut judged = Vec::with_capacity(order.len());
        for batch in Loader::new(shared, order, self.batch, false, threads, 2)? {
            if stop.requested().is_some() {
                return Ok(None);
            }
            let batch = batch?;
            let first = judged.len();
            let logits = self.logits(&batch)?;
            let sides = self.sides;
            let of_batch: Result<Vec<Agreement>> = logits
                .par_chunks_exact(sides.logits())
                .take(batch.size)
                .enumerate()
                .map(|(i, logits)| sides.judge(logits, &batch, i, source, first + i, protocol))
                .collect();
            judged.extend(of_batch?);
            done(judged.len());
        }
        Ok(Some(judged))
    }

    /// `[batch, grid, grid, 2]`; what lies behind the samples of a smaller batch means nothing.
    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        let missing = self.batch - batch.size;
        let images = repeated(&batch.images, batch.size, missing);
        let tokens = repeated(&batch.tokens, batch.size, missing);
        let word_mask = repeated(&batch.word_mask, batch.size, missing);
        self.session.write(self.image, Slot::Value, Values::F32(&images))?;
        self.session.write(self.tokens, Slot::Value, Values::Index(&tokens))?;
        self.session.write(self.word_mask, Slot::Value, Values::Index(&word_mask))?;
        self.session.forward(0)?;
        let mut logits = vec![0.0f32; self.batch * self.sides.logits()];
        self.session.read(self.logits, Slot::Value, ValuesMut::F32(&mut logits))?;
        Ok(logits)
    }

    /// The mask of one sample at the picture's own size.
    pub fn mask(
        &mut self,
        source: &EvaluationSource,
        index: usize,
        size: [usize; 2],
    ) -> Result<Vec<u8>> {
        let sample = source.sample(index)?;
        let batch = Batch {
            size: 1,
            images: sample.image,
            tokens: sample.tokens,
            word_mask: sample.word_mask,
            masks: sample.mask,
            ids: vec![sample.id],
        };
        let logits = self.logits(&batch)?;
        self.sides.predicted(&logits[..self.sides.logits()], size, &batch.ids[0])
    }
}

impl Sides {
    /// Logits of one sample.
    fn logits(self) -> usize {
        2 * self.grid * self.grid
    }

    /// The mask of one sample's logits.
    fn predicted(self, logits: &[f32], [width, height]: [usize; 2], id: &str) -> Result<Vec<u8>> {
        let prediction = predict(logits, self.grid, height, width).map_err(|e| e.at(id))?;
        Ok(prediction.mask.pixels)
    }

    fn judge(
        self,
        logits: &[f32],
        batch: &Batch,
        at: usize,
        source: &EvaluationSource,
        index: usize,
        protocol: Protocol,
    ) -> Result<Agreement> {
        match protocol {
            Protocol::Lavt => {
                let places = self.picture * self.picture;
                let truth = &batch.masks[at * places..][..places];
                let truth: Vec<u8> = truth.iter().map(|&m| u8::from(m != 0)).collect();
                let predicted = self.predicted(logits, [self.picture; 2], &batch.ids[at])?;
                Ok(Agreement::of(&predicted, &truth))
            }
            Protocol::Original => {
                let truth = source.split().truth(source.place(index).0)?;
                let size = [truth.width, truth.height];
                let predicted = self.predicted(logits, size, &batch.ids[at])?;
                Ok(Agreement::of(&predicted, &truth.pixels))
            }
        }
    }
}

/// `size` samples and `missing` more copies of the last.
fn repeated<T: Copy>(values: &[T], size: usize, missing: usize) -> Vec<T> {
    let last = &values[values.len() / size * (size - 1)..];
    let mut all = Vec::with_capacity(values.len() + missing * last.len());
    all.extend_from_slice(values);
    (0..missing).for_each(|_| all.extend_from_slice(last));
    all
}
