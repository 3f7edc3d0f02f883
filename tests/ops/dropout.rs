//! Dropout of elements and of samples.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::dropout::Dropout;

use crate::support::case::{Case, Input};

/// Number `i` of the stream decides over element or sample `i`.
fn naive(case: &Case<Dropout>) -> Vec<f64> {
    let inp = &case.inputs[0];
    let len = inp.real.len() / inp.of.shape.extents()[0];
    let mut out = Vec::new();
    for (i, x) in inp.real.iter().enumerate() {
        let number = if case.op.per_sample { i / len } else { i };
        let kept = case.random.uniform(number as u64) >= case.op.rate;
        out.push(if kept { x / (1.0 - case.op.rate) } else { 0.0 });
    }
    out
}

fn case<const N: usize>(shape: [usize; N], rate: f64, per_sample: bool) -> Case<Dropout> {
    let op = Dropout { rate, per_sample };
    Case::new(&format!("{op:?} of {shape:?}"), op, vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn elements_and_samples() {
    for per_sample in [false, true] {
        for rate in [0.0, 0.3, 0.9] {
            for shape in [[5, 7, 3], [1, 1, 1], [1, 1, 131]] {
                let case = case(shape, rate, per_sample);
                let want = naive(&case);
                case.check_forward(&want);
                case.check(|_| want.clone());
            }
        }
    }
}

#[test]
fn more_than_a_chunk() {
    for per_sample in [false, true] {
        let case = case([5, 9001], 0.4, per_sample);
        case.check_forward(&naive(&case));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
    }
}

/// The same numbers are dropped on a device: whole vectors and a rest, aligned samples and others.
#[test]
fn on_a_device() {
    for per_sample in [false, true] {
        for rate in [0.0, 0.3] {
            for shape in [[5, 7, 3], [1, 1, 1], [6, 2, 32]] {
                case(shape, rate, per_sample).check_on_device();
            }
        }
        case([3, 1031], 0.3, per_sample).check_on_device();
        case([4, 2048], 0.9, per_sample).check_on_device();
    }
    let mut all_words = case([3, 50], 0.5, false);
    all_words.random = crformer::rng::Philox::new(u64::MAX - 7, u64::MAX << 20);
    all_words.check_on_device();
}

/// Of 100000 elements the kept share is within five standard deviations of what it should be, and
/// another stream keeps others.
#[test]
fn the_share_is_right_and_the_stream_matters() {
    let mut case = case([100_000], 0.3, false);
    case.inputs[0].real.fill(1.0);
    let first = case.forward::<f32>(&case.inputs, true).0;
    let kept = first.iter().filter(|x| **x != 0.0).count() as f64;
    let deviation = (100_000.0 * 0.3 * 0.7f64).sqrt();
    assert!((kept - 70_000.0).abs() < 5.0 * deviation, "{kept} of 100000 kept");
    case.random = crformer::rng::Philox::new(5, 6);
    assert!(first != case.forward::<f32>(&case.inputs, true).0, "two streams, one mask");
}

/// What is dropped is 0, whatever it was.
#[test]
fn a_dropped_infinity_is_zero() {
    let mut case = case([64, 3], 0.5, true);
    case.inputs[0].real.fill(f64::INFINITY);
    let out = case.forward::<f32>(&case.inputs, true).0;
    assert!(out.contains(&0.0) && out.iter().all(|x| !x.is_nan()), "{out:?}");
}

#[test]
fn wrong_rates_are_named() {
    let inp = TensorType::activation([4, 8]);
    for rate in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        let op = Dropout { rate, per_sample: false };
        let error = op.signature(&[&inp]).expect_err("a rate outside [0, 1)");
        assert!(error.to_string().contains(&format!("not {rate}")), "{error}");
    }
    let op = Dropout { rate: 0.5, per_sample: false };
    assert!(op.signature(&[&inp, &inp]).is_err(), "two inputs");
    assert!(op.signature(&[&TensorType::index([4, 8])]).is_err(), "indices");
}
