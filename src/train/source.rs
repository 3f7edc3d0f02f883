//! The samples of a whole run, and of an evaluation, in their order.

use std::sync::Arc;

use super::phrases::Split;
use crate::data::loader::{Sample, Source, epoch_order, pick};
use crate::error::{Error, Result};

/// Every epoch of a run as one list: sample `epoch * references + reference`, with the sentence
/// that this epoch draws for it. A run that goes on needs no more than the number of its update.
pub struct TrainingSource {
    split: Arc<Split>,
    seed: u64,
    epochs: usize,
}

impl Source for TrainingSource {
    fn len(&self) -> usize {
        self.epochs * self.split.referred.len()
    }

    fn id(&self, index: usize) -> String {
        let (at, phrase) = self.choice(index);
        self.split.id(at, phrase)
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let (at, phrase) = self.choice(index);
        self.split.sample(at, phrase)
    }
}

impl TrainingSource {
    /// Reference and sentence of a sample.
    fn choice(&self, index: usize) -> (usize, usize) {
        let count = self.split.referred.len();
        let (epoch, at) = (index / count, index % count);
        (at, pick(self.seed, epoch as u32, at, self.split.referred[at].phrases.len()))
    }
}

/// How a run goes through its split: how many updates, and which samples each sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// References of the split.
    pub count: usize,
    /// Images of one update.
    pub images: usize,
    /// Updates in one epoch; references left over are not seen in it.
    pub per_epoch: u64,
    /// Updates of the run.
    pub steps: u64,
}

impl Course {
    /// `steps` updates, or as many as `epochs` give if it is 0.
    pub fn new(count: usize, images: usize, epochs: usize, steps: u64) -> Result<Self> {
        let per_epoch = (count / images.max(1)) as u64;
        if per_epoch == 0 {
            return Err(Error::usage(format!(
                "the split has {count} references, but one update needs {images} \
                 (training.batch * training.accumulation); make one of these smaller"
            )));
        }
        let steps = if steps == 0 { per_epoch.saturating_mul(epochs as u64) } else { steps };
        match steps.div_ceil(per_epoch).saturating_mul(count as u64) {
            samples if samples > 1 << 32 => {
                let message = format!("{steps} updates are {samples} samples, more than 2^32");
                Err(Error::usage(message))
            }
            _ => Ok(Self { count, images, per_epoch, steps }),
        }
    }

    /// Epochs that the run begins.
    pub fn epochs(&self) -> usize {
        self.steps.div_ceil(self.per_epoch) as usize
    }

    /// The epoch of an update.
    pub fn epoch(&self, step: u64) -> u64 {
        step / self.per_epoch
    }

    /// The samples of the updates from `step` to the end of the run, in order.
    pub fn order(&self, seed: u64, step: u64) -> Vec<usize> {
        let mut order = Vec::new();
        for epoch in self.epoch(step)..self.epochs() as u64 {
            let first = epoch * self.per_epoch;
            let updates = step.max(first) - first..self.per_epoch.min(self.steps - first);
            let of_epoch = epoch_order(self.count, seed, epoch as u32);
            let range = updates.start as usize * self.images..updates.end as usize * self.images;
            let shift = epoch as usize * self.count;
            order.extend(of_epoch[range].iter().map(|at| at + shift));
        }
        order
    }

    /// The samples themselves.
    pub fn source(&self, split: Arc<Split>, seed: u64) -> TrainingSource {
        TrainingSource { split, seed, epochs: self.epochs() }
    }
}

/// Every sentence of every reference of a split, in order.
pub struct EvaluationSource {
    split: Arc<Split>,
    places: Vec<(usize, usize)>,
}

impl EvaluationSource {
    pub fn new(split: Arc<Split>) -> Self {
        let all = split.referred.iter().enumerate();
        let places = all.flat_map(|(at, r)| (0..r.phrases.len()).map(move |phrase| (at, phrase)));
        Self { places: places.collect(), split }
    }

    pub fn split(&self) -> &Arc<Split> {
        &self.split
    }

    /// Reference and sentence of a sample.
    pub fn place(&self, index: usize) -> (usize, usize) {
        self.places[index]
    }

    /// What the sentence of a sample speaks of, where the data set says so.
    pub fn kind(&self, index: usize) -> Option<&str> {
        let (at, phrase) = self.places[index];
        self.split.referred[at].phrases[phrase].kind.as_deref()
    }
}

impl Source for EvaluationSource {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn id(&self, index: usize) -> String {
        let (at, phrase) = self.places[index];
        self.split.id(at, phrase)
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        let (at, phrase) = self.places[index];
        self.split.sample(at, phrase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_course_is_the_end_of_the_whole() {
        let course = Course::new(23, 4, 0, 17).expect("a course");
        assert_eq!((course.per_epoch, course.epochs()), (5, 4));
        let whole = course.order(9, 0);
        assert_eq!(whole.len(), 17 * 4);
        for step in 0..=17 {
            assert_eq!(course.order(9, step), whole[step as usize * 4..], "from {step}");
        }
    }

    #[test]
    fn an_epoch_visits_no_reference_twice() {
        let course = Course::new(23, 4, 3, 0).expect("a course");
        assert_eq!(course.steps, 15);
        for (epoch, samples) in course.order(1, 0).chunks(20).enumerate() {
            let mut seen: Vec<usize> = samples.to_vec();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 20);
            assert!(seen.iter().all(|s| s / 23 == epoch));
        }
    }

    #[test]
    fn a_split_smaller_than_an_update_is_refused() {
        let error = Course::new(3, 4, 1, 0).expect_err("too small");
        assert!(error.to_string().contains("3 references, but one update needs 4"), "{error}");
    }
}
