//! Values weighted by a softmax over words.

use crformer::cuda::precision::Precision;
use crformer::op::contract::{Operation, TensorType};
use crformer::op::softmax_weighted_sum::SoftmaxWeightedSum;

use crate::support::attend::{Attention, attend, columns, dot};
use crate::support::case::{Case, Input};

/// One query at a time (eq. 8 and 9).
fn naive(inputs: &[Input]) -> Vec<f64> {
    let [batch, queries, channels] = inputs[0].of.shape.extents() else { panic!("u has rank 3") };
    let words = inputs[1].of.shape.extents()[1];
    let row = |input: usize, row: usize| &inputs[input].real[row * channels..(row + 1) * channels];
    let mut out = Vec::new();
    for image in 0..*batch {
        for query in 0..*queries {
            let u = row(0, image * queries + query);
            let score = |word: usize| match inputs[3].index[image * words + word] {
                0 => f64::NEG_INFINITY,
                _ => dot(u, row(1, image * words + word)),
            };
            let scores: Vec<f64> = (0..words).map(score).collect();
            let values: Vec<&[f64]> = (0..words).map(|word| row(2, image * words + word)).collect();
            out.extend(attend(&scores, &values));
        }
    }
    out
}

/// `mask` holds `batch` rows.
fn case(batch: usize, queries: usize, channels: usize, mask: &[i32]) -> Case<SoftmaxWeightedSum> {
    let words = mask.len() / batch;
    let inputs = vec![
        Input::normal([batch, queries, channels], 0.7, 1),
        Input::normal([batch, words, channels], 0.7, 2),
        Input::normal([batch, words, channels], 1.0, 3),
        Input::index([batch, words], mask.to_vec()),
    ];
    let name = format!("{batch} x {queries} x {channels}, mask {mask:?}");
    Case::new(&name, SoftmaxWeightedSum {}, inputs)
}

#[test]
fn sizes_that_are_multiples_of_nothing() {
    case(2, 5, 7, &[1, 1, 1, 0, 1, 1, 0, 0]).check(naive);
    case(1, 3, 11, &[1; 19]).check(naive);
}

#[test]
fn one_query_one_word_one_channel() {
    case(1, 1, 1, &[1]).check(naive);
    case(2, 1, 5, &[1, 1]).check(naive);
}

#[test]
fn all_words_but_one_masked() {
    case(2, 3, 4, &[0, 0, 1, 0, 1, 0, 0, 0]).check(naive);
}

#[test]
fn the_models_sizes() {
    let case = case(1, 24, 512, &[vec![1; 11], vec![0; 9]].concat());
    case.check_forward(&naive(&case.inputs));
    case.check_set_and_add();
    case.check_threads();
}

#[test]
fn scores_of_ten_thousand() {
    let mut case = case(1, 5, 6, &[1, 1, 0, 1, 1, 1, 1]);
    case.inputs.iter_mut().for_each(|i| i.real.iter_mut().for_each(|x| *x *= 80.0));
    case.check_forward(&naive(&case.inputs));
    let (out, kept) = case.forward::<f32>(&case.inputs, true);
    let gradients = case.backward::<f32>(&out, &kept, &vec![1.0; out.len()], None);
    let written = gradients.into_iter().flatten().flatten();
    assert!(out.into_iter().chain(written).all(f64::is_finite));
}

/// Backward by plain loops that round where kernels do.
fn naive_backward(
    case: &Case<SoftmaxWeightedSum>,
    dout: &[f64],
    precision: Precision,
) -> Vec<Option<Vec<f64>>> {
    let shape = &case.inputs[0].of.shape;
    let channels = shape.channels();
    let part = |i: usize| columns(&case.inputs[i].real, channels, 0, channels);
    let attention = Attention {
        batch: shape.extents()[0],
        heads: 1,
        head_dim: channels,
        scale: 1.0,
        mask: Some(&case.inputs[3].index),
        q: part(0),
        k: part(1),
        v: part(2),
    };
    attention.backward(dout, precision).map(Some).into_iter().chain([None]).collect()
}

/// Words in one tile and in several, of any width.
#[test]
fn on_a_device() {
    for case in [
        case(2, 5, 7, &[1, 1, 1, 0, 1, 1, 0, 0]),
        case(1, 3, 11, &[1; 19]),
        case(1, 1, 1, &[1]),
        case(2, 1, 5, &[1, 1]),
        case(2, 3, 4, &[0, 0, 1, 0, 1, 0, 0, 0]),
        case(2, 3, 8, &[0, 0, 0, 0, 1, 0, 1, 0]),
        case(1, 24, 512, &[vec![1; 11], vec![0; 9]].concat()),
        case(1, 24, 72, &[1; 33]),
        case(1, 150, 40, &[vec![1; 37], vec![0; 3], vec![1; 30]].concat()),
    ] {
        case.check_on_device_against(naive_backward);
    }
}

#[test]
fn scores_of_ten_thousand_on_a_device() {
    let mut case = case(1, 5, 6, &[1, 1, 0, 1, 1, 1, 1]);
    case.inputs.iter_mut().for_each(|i| i.real.iter_mut().for_each(|x| *x *= 80.0));
    // Two words are the same, so that their weights are not 1.
    case.inputs[1].real.copy_within(0..6, 18);
    case.check_on_device_against(naive_backward);
}

#[test]
fn wrong_inputs_are_named() {
    let (u, w) = (TensorType::activation([2, 5, 6]), TensorType::activation([2, 4, 6]));
    let mask = TensorType::index([2, 4]);
    let refused = |inputs: &[&TensorType], found: &str| {
        let error = SoftmaxWeightedSum {}.signature(inputs).expect_err("wrong inputs");
        assert!(error.to_string().contains(found), "{error}");
    };
    refused(&[&u, &w, &w], "mask: index [B, L]");
    refused(&[&u, &w, &TensorType::activation([2, 5, 6]), &mask], "[2, 5, 6], index");
    refused(&[&u, &w, &w, &TensorType::index([2, 5])], "index [2, 5]");
    refused(&[&TensorType::activation([2, 5, 7]), &w, &w, &mask], "[2, 5, 7]");
}
