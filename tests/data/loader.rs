//! Order, memory, errors and shutdown of the threads that decode ahead.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crformer::data::loader::{Batch, Loader, Sample, Source, epoch_order, pick};
use crformer::error::{Error, ErrorKind, Result};

/// Samples that tell their index, take unequal time, and count how many were asked for.
#[derive(Default)]
struct Counting {
    count: usize,
    asked: AtomicUsize,
    fails_at: Option<usize>,
    panics_at: Option<usize>,
    odd_extent_at: Option<usize>,
}

impl Source for Counting {
    fn len(&self) -> usize {
        self.count
    }

    fn id(&self, index: usize) -> String {
        format!("s{index}")
    }

    fn sample(&self, index: usize) -> Result<Sample> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_micros((index as u64 * 7919) % 400));
        if self.fails_at == Some(index) {
            return Err(Error::data("picture.jpg", "broken"));
        }
        assert!(self.panics_at != Some(index), "index {index} hurts");
        let side = if self.odd_extent_at == Some(index) { 3 } else { 2 };
        Ok(Sample {
            image: vec![index as f32; 3 * side * side],
            tokens: vec![index as i32; 5],
            word_mask: vec![1; 5],
            mask: vec![(index % 2) as i32; side * side],
            id: self.id(index),
        })
    }
}

fn counting(count: usize) -> Counting {
    Counting { count, ..Counting::default() }
}

fn loader(source: Counting, order: Vec<usize>, threads: usize) -> Loader {
    Loader::new(Arc::new(source), order, 4, false, threads, 2).unwrap()
}

fn ids(batches: &[Batch]) -> Vec<String> {
    batches.iter().flat_map(|b| b.ids.clone()).collect()
}

#[test]
fn the_order_is_the_callers_for_any_number_of_threads() {
    let order = epoch_order(50, 3, 1);
    let wanted: Vec<String> = order.iter().map(|i| format!("s{i}")).collect();
    for threads in [1, 2, 7, 64] {
        let batches: Result<Vec<Batch>> = loader(counting(50), order.clone(), threads).collect();
        let batches = batches.unwrap();
        assert_eq!(ids(&batches), wanted, "{threads} threads");
        assert_eq!(
            batches.iter().map(|b| b.size).collect::<Vec<_>>(),
            [vec![4; 12], vec![2]].concat()
        );
    }
}

#[test]
fn a_batch_holds_its_samples_one_after_the_other() {
    let batch = loader(counting(9), vec![8, 3], 2).next().unwrap().unwrap();
    assert_eq!(batch.size, 2);
    assert_eq!(batch.images, [[8.0; 12], [3.0; 12]].concat());
    assert_eq!(batch.tokens, [[8; 5], [3; 5]].concat());
    assert_eq!(batch.word_mask, [1; 10]);
    assert_eq!(batch.masks, [[0; 4], [1; 4]].concat());
    assert_eq!(batch.ids, ["s8", "s3"]);
}

#[test]
fn the_last_batch_is_dropped_on_request_and_not_decoded() {
    let source = Arc::new(counting(10));
    let order = (0..10).collect();
    let mut all = Loader::new(source.clone(), order, 4, true, 2, 5).unwrap();
    assert_eq!(all.remaining(), 2);
    assert_eq!(all.by_ref().map(|b| b.unwrap().size).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(all.remaining(), 0);
    assert_eq!(source.asked.load(Ordering::SeqCst), 8);
    let mut few = Loader::new(source, vec![0, 1, 2], 4, true, 2, 5).unwrap();
    assert!(few.next().is_none());
}

#[test]
fn an_empty_order_gives_no_batch() {
    assert!(loader(counting(5), Vec::new(), 3).next().is_none());
    assert!(loader(counting(0), Vec::new(), 3).next().is_none());
}

#[test]
fn the_rest_of_an_order_resumes_an_epoch() {
    let order = epoch_order(40, 9, 2);
    let whole: Vec<Batch> = loader(counting(40), order.clone(), 3).collect::<Result<_>>().unwrap();
    let rest: Vec<Batch> =
        loader(counting(40), order[12..].to_vec(), 2).collect::<Result<_>>().unwrap();
    assert_eq!(whole[3..], rest);
}

#[test]
fn no_more_than_ahead_batches_are_decoded_in_advance() {
    let source = Arc::new(counting(1000));
    let mut loader = Loader::new(source.clone(), (0..1000).collect(), 4, false, 8, 3).unwrap();
    for taken in 0..5 {
        std::thread::sleep(Duration::from_millis(20));
        assert!(source.asked.load(Ordering::SeqCst) <= (taken + 3) * 4);
        loader.next().unwrap().unwrap();
    }
}

#[test]
fn an_error_arrives_at_its_place_with_its_id_and_ends_the_loader() {
    for threads in [1, 5] {
        let source = Counting { fails_at: Some(9), ..counting(40) };
        let mut loader = loader(source, (0..40).collect(), threads);
        assert_eq!(loader.next().unwrap().unwrap().ids, ["s0", "s1", "s2", "s3"]);
        assert!(loader.next().unwrap().is_ok());
        let error = loader.next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "sample s9: picture.jpg: broken");
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(loader.next().is_none() && loader.next().is_none());
    }
}

#[test]
fn a_panic_in_a_sample_becomes_its_error() {
    let source = Counting { panics_at: Some(5), ..counting(40) };
    let mut loader = loader(source, (0..40).collect(), 3);
    assert!(loader.next().unwrap().is_ok());
    let message = loader.next().unwrap().unwrap_err().to_string();
    assert!(message.contains("s5") && message.contains("index 5 hurts"), "{message}");
    assert!(loader.next().is_none());
}

#[test]
fn samples_of_different_extents_are_an_error() {
    let source = Counting { odd_extent_at: Some(2), ..counting(8) };
    let message = loader(source, (0..8).collect(), 2).next().unwrap().unwrap_err().to_string();
    assert!(
        message.contains("s2") && message.contains("27") && message.contains("12"),
        "{message}"
    );
}

#[test]
fn a_loader_dropped_early_joins_its_threads() {
    for taken in [0, 1, 3] {
        let source = Arc::new(counting(10_000));
        let left = Arc::downgrade(&source);
        let mut loader = Loader::new(source, (0..10_000).collect(), 4, false, 6, 2).unwrap();
        for _ in 0..taken {
            loader.next().unwrap().unwrap();
        }
        drop(loader);
        assert!(left.upgrade().is_none(), "a thread still holds the source");
    }
}

#[test]
fn a_loader_that_asks_for_nothing_or_too_much_is_an_error() {
    let make = |order: Vec<usize>, batch, threads, ahead| {
        Loader::new(Arc::new(counting(5)), order, batch, false, threads, ahead)
    };
    for (batch, threads, ahead, part) in
        [(0, 1, 1, "batch is 0"), (1, 0, 1, "threads is 0"), (1, 1, 0, "ahead is 0")]
    {
        let error = make(vec![0], batch, threads, ahead).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(part), "{error}");
    }
    let error = make(vec![0, 5], 1, 1, 1).err().unwrap();
    assert!(error.to_string().contains("sample 5 of 5"), "{error}");
}

#[test]
fn every_epoch_shuffles_otherwise_and_the_same_again() {
    let order = epoch_order(1000, 42, 0);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    assert_eq!(order, epoch_order(1000, 42, 0));
    assert_ne!(order, epoch_order(1000, 42, 1));
    assert_ne!(order, epoch_order(1000, 43, 0));
    assert!(epoch_order(0, 1, 1).is_empty());
}

/// A run must see the same data after an update of this program. Worked out by another Philox, from
/// the definition.
#[test]
fn the_random_choices_are_frozen() {
    assert_eq!(epoch_order(8, 7, 3), FROZEN_ORDER);
    let picks: Vec<usize> = (0..12).map(|index| pick(7, 3, index, 5)).collect();
    assert_eq!(picks, FROZEN_PICKS);
}

const FROZEN_ORDER: [usize; 8] = [7, 0, 3, 4, 1, 2, 5, 6];
const FROZEN_PICKS: [usize; 12] = [0, 2, 3, 0, 2, 3, 3, 4, 2, 0, 3, 2];

#[test]
fn picks_are_uniform_and_differ_by_seed_epoch_and_index() {
    let draw = |seed, epoch| (0..9000).map(|i| pick(seed, epoch, i, 3)).collect::<Vec<_>>();
    let base = draw(1, 1);
    for choice in 0..3 {
        let share = base.iter().filter(|&&c| c == choice).count();
        assert!((2800..3200).contains(&share), "{choice}: {share}"); // 4.5 standard deviations
    }
    let different: HashSet<Vec<usize>> = [base, draw(2, 1), draw(1, 2)].into_iter().collect();
    assert_eq!(different.len(), 3);
    assert!((0..100).all(|i| pick(1, 1, i, 1) == 0) && pick(1, 1, 1, 0) == 0);
}
