//! Batches ahead of time: samples are decoded on other threads and handed out in a fixed order.
//!
//! The order is the caller's and the same for any number of threads. At most `ahead` batches beyond
//! the one in the caller's hands are decoded or held, so memory is bounded.

use std::any::Any;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::rng::Philox;

/// One training or evaluation example. `S` is the picture's side, `L` the number of words.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// `[3, S, S]`, normalised.
    pub image: Vec<f32>,
    /// `[L]`
    pub tokens: Vec<i32>,
    /// `[L]`, 1 on real tokens.
    pub word_mask: Vec<i32>,
    /// `[S, S]`, 1 on the object.
    pub mask: Vec<i32>,
    /// What a message or a report calls it.
    pub id: String,
}

/// Where samples come from. Threads ask it at the same time and in any order, so a sample may
/// depend on its index only.
pub trait Source: Send + Sync {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What an error calls sample `index`.
    fn id(&self, index: usize) -> String;

    fn sample(&self, index: usize) -> Result<Sample>;
}

/// Samples one after the other in each array, outermost extent `size`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub size: usize,
    /// `[size, 3, S, S]`
    pub images: Vec<f32>,
    /// `[size, L]`
    pub tokens: Vec<i32>,
    /// `[size, L]`
    pub word_mask: Vec<i32>,
    /// `[size, S, S]`
    pub masks: Vec<i32>,
    pub ids: Vec<String>,
}

/// An iterator over batches. After an error it ends. Dropping it stops and joins its threads, each
/// after the sample it is at.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    batch: usize,
}

impl Loader {
    /// Hands out the samples `order` of `source`, `batch` at a time; an incomplete last batch is
    /// left out if `drop_last`. `ahead` is the number of batches decoded in advance. To go on in
    /// the middle of an epoch, pass the rest of its order.
    pub fn new(
        source: Arc<dyn Source>,
        mut order: Vec<usize>,
        batch: usize,
        drop_last: bool,
        threads: usize,
        ahead: usize,
    ) -> Result<Self> {
        for (name, value) in [("batch", batch), ("threads", threads), ("ahead", ahead)] {
            if value == 0 {
                return Err(Error::usage(format!("the loader's {name} is 0; give 1 or more")));
            }
        }
        if let Some(index) = order.iter().find(|&&index| index >= source.len()) {
            let count = source.len();
            let message = format!("the loader's order asks for sample {index} of {count}");
            return Err(Error::usage(message));
        }
        if drop_last {
            order.truncate(order.len() / batch * batch);
        }
        let window = batch.saturating_mul(ahead);
        let threads = threads.min(order.len());
        let shared = Arc::new(Shared::new(source, order, window));
        let mut loader = Self { shared, threads: Vec::with_capacity(threads), batch };
        for _ in 0..threads {
            loader.start_thread()?;
        }
        Ok(loader)
    }

    /// Number of batches still to come.
    pub fn remaining(&self) -> usize {
        let taken = self.shared.lock().taken;
        (self.shared.order.len() - taken).div_ceil(self.batch)
    }

    fn start_thread(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || shared.work())
            .map_err(|e| Error::new(ErrorKind::Io, format!("starting a loader thread: {e}")))?;
        self.threads.push(thread);
        Ok(())
    }

    fn next_batch(&mut self) -> Result<Batch> {
        let size = self.batch.min(self.shared.order.len() - self.shared.lock().taken);
        let mut batch = Batch::default();
        let mut first = None;
        for _ in 0..size {
            let sample = self.shared.take()?;
            let lengths = sample.lengths();
            let expected = *first.get_or_insert_with(|| {
                batch.reserve(size, lengths);
                lengths
            });
            if lengths != expected {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!(
                        "sample {}: picture, tokens, word mask and mask have {lengths:?} entries; \
                         the first of its batch has {expected:?}",
                        sample.id
                    ),
                ));
            }
            batch.push(sample);
        }
        Ok(batch)
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining() == 0 {
            return None;
        }
        let batch = self.next_batch();
        if batch.is_err() {
            self.shared.stop();
        }
        Some(batch)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // a sample's panic was caught and handed out as its error
        }
    }
}

impl Sample {
    /// Entries of picture, tokens, word mask and mask.
    fn lengths(&self) -> [usize; 4] {
        [self.image.len(), self.tokens.len(), self.word_mask.len(), self.mask.len()]
    }
}

impl Batch {
    /// Room for `size` samples of these lengths, so that the large arrays do not grow in steps.
    fn reserve(&mut self, size: usize, lengths: [usize; 4]) {
        self.images.reserve_exact(lengths[0] * size);
        self.masks.reserve_exact(lengths[3] * size);
    }

    fn push(&mut self, sample: Sample) {
        self.size += 1;
        self.images.extend(sample.image);
        self.tokens.extend(sample.tokens);
        self.word_mask.extend(sample.word_mask);
        self.masks.extend(sample.mask);
        self.ids.push(sample.id);
    }
}

/// What the threads and the caller share.
struct Shared {
    source: Arc<dyn Source>,
    order: Vec<usize>,
    /// How many samples beyond those taken may be started.
    window: usize,
    state: Mutex<State>,
    /// A sample is done.
    done: Condvar,
    /// There is room to start another, or it is time to stop.
    room: Condvar,
}

#[derive(Default)]
struct State {
    /// Positions in the order that were started, and that were handed out.
    started: usize,
    taken: usize,
    ready: HashMap<usize, Result<Sample>>,
    stopped: bool,
}

impl Shared {
    fn new(source: Arc<dyn Source>, order: Vec<usize>, window: usize) -> Self {
        let (state, done, room) = Default::default();
        Self { source, order, window, state, done, room }
    }

    /// No code of the source runs under the lock, so a poisoned one still holds a sound state.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        state.taken = self.order.len();
        state.ready.clear();
        self.room.notify_all();
    }

    /// A thread's life: start the next position when there is room, put the outcome into place.
    fn work(&self) {
        while let Some(position) = self.start() {
            let outcome = self.sample(self.order[position]);
            let mut state = self.lock();
            if !state.stopped {
                state.ready.insert(position, outcome);
                self.done.notify_one();
            }
        }
    }

    fn start(&self) -> Option<usize> {
        let mut state = self.lock();
        loop {
            if state.stopped || state.started == self.order.len() {
                return None;
            }
            if state.started < state.taken.saturating_add(self.window) {
                state.started += 1;
                return Some(state.started - 1);
            }
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The caller's side: waits for the next position in order.
    fn take(&self) -> Result<Sample> {
        let mut state = self.lock();
        loop {
            let position = state.taken;
            if let Some(outcome) = state.ready.remove(&position) {
                state.taken += 1;
                self.room.notify_one();
                return outcome;
            }
            state = self.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Asks the source; its error gets the sample's id, its panic becomes an error.
    fn sample(&self, index: usize) -> Result<Sample> {
        let id = || {
            catch_unwind(AssertUnwindSafe(|| self.source.id(index)))
                .unwrap_or_else(|_| index.to_string())
        };
        match catch_unwind(AssertUnwindSafe(|| self.source.sample(index))) {
            Ok(Ok(sample)) => Ok(sample),
            Ok(Err(error)) => Err(error.at(format!("sample {}", id()))),
            Err(panic) => Err(Error::new(
                ErrorKind::Data,
                format!(
                    "sample {}: reading it panicked: {}; this is a defect, please report it",
                    id(),
                    panic_message(panic.as_ref())
                ),
            )),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// Purposes of the random stream, in the upper half of its name; the epoch is the lower half.
const SHUFFLE: u64 = 0x7368_7566 << 32;
const PICK: u64 = 0x7069_636B << 32;

/// The numbers `0..count` in the order of an epoch: the same for the same seed on every machine,
/// different from epoch to epoch.
pub fn epoch_order(count: usize, seed: u64, epoch: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    Philox::new(seed, SHUFFLE | u64::from(epoch)).reader().shuffle(&mut order);
    order
}

/// One of `choices` for sample `index` in an epoch, uniform (bias below 2^-64 * choices) and
/// independent of the order in which samples are drawn. 0 if there is nothing to choose from.
pub fn pick(seed: u64, epoch: u32, index: usize, choices: usize) -> usize {
    let [high, low, ..] = Philox::new(seed, PICK | u64::from(epoch)).block(index as u64);
    let word = u64::from(high) << 32 | u64::from(low);
    ((u128::from(word) * choices as u128) >> 64) as usize
}
