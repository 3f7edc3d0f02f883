//! Mean over the rows that count: words with a mask, queries without.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::masked_mean::MaskedMean;

use crate::support::case::{Case, Input};

/// One element at a time, the rows picked first.
fn naive(inputs: &[Input]) -> Vec<f64> {
    let &[batch, rows, channels] = inputs[0].of.shape.extents() else { panic!("three extents") };
    let mut out = Vec::new();
    for b in 0..batch {
        let mut picked = Vec::new();
        for n in 0..rows {
            let masked = inputs.get(1).map_or(0, |mask| mask.of.shape.extents()[1]);
            if n >= masked || inputs[1].index[b * masked + n] == 1 {
                picked.push(n);
            }
        }
        for c in 0..channels {
            let values = picked.iter().map(|n| inputs[0].real[(b * rows + n) * channels + c]);
            let sum: f64 = values.sum();
            out.push(if picked.is_empty() { 0.0 } else { sum / picked.len() as f64 });
        }
    }
    out
}

fn check(name: &str, shape: [usize; 3], mask: Option<([usize; 2], &[i32])>) {
    let mut inputs = vec![Input::normal(shape, 1.0, 1)];
    inputs.extend(mask.map(|(shape, mask)| Input::index(shape, mask.to_vec())));
    Case::new(name, MaskedMean { masked: mask.is_some() }, inputs).check(naive);
}

#[test]
fn without_a_mask_all_rows_count() {
    check("3 x 5 x 7", [3, 5, 7], None);
    check("one row", [2, 1, 3], None);
}

#[test]
fn rows_beyond_the_mask_always_count() {
    check("words and a global token", [2, 4, 19], Some(([2, 3], &[1, 0, 0, 1, 1, 1])));
    check("only the global token", [2, 4, 5], Some(([2, 3], &[0; 6])));
}

#[test]
fn all_words_but_one_masked() {
    check("one word", [2, 3, 5], Some(([2, 3], &[0, 1, 0, 1, 0, 0])));
}

#[test]
fn nothing_counts() {
    let mask: &[i32] = &[0, 0, 1, 1];
    check("an empty sample", [2, 2, 5], Some(([2, 2], mask)));
}

/// No mask, one that leaves a word, the global token or nothing, more rows than a block has threads.
#[test]
fn on_a_device() {
    let on_a_device = |name: &str, shape: [usize; 3], mask: Option<([usize; 2], &[i32])>| {
        let mut inputs = vec![Input::normal(shape, 1.0, 1)];
        inputs.extend(mask.map(|(shape, mask)| Input::index(shape, mask.to_vec())));
        Case::new(name, MaskedMean { masked: mask.is_some() }, inputs).check_on_device();
    };
    on_a_device("3 x 5 x 7", [3, 5, 7], None);
    on_a_device("one row", [1, 1, 1], None);
    on_a_device("words and a global token", [2, 10, 132], Some(([2, 3], &[1, 0, 0, 0, 0, 0])));
    on_a_device("nothing counts", [2, 2, 129], Some(([2, 2], &[0, 0, 1, 1])));
    let mask: Vec<i32> = (0..300).map(|i| i32::from(i % 3 != 1)).collect();
    on_a_device("300 rows", [1, 301, 5], Some(([1, 300], &mask)));
}

#[test]
fn more_than_a_chunk() {
    let index = (0..23).map(|i| i32::from(i % 3 != 1)).collect();
    let inputs = vec![Input::normal([23, 2, 901], 1.0, 1), Input::index([23, 1], index)];
    let case = Case::new("23 samples", MaskedMean { masked: true }, inputs);
    case.check_forward(&naive(&case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn wrong_inputs_are_named() {
    let op = MaskedMean { masked: true };
    let inp = TensorType::activation([2, 3, 5]);
    let error = op.signature(&[&inp, &TensorType::index([2, 4])]).expect_err("four of three rows");
    assert!(error.to_string().contains("[2, 3, 5], index [2, 4]"), "{error}");
    assert!(op.signature(&[&inp, &TensorType::activation([2, 3])]).is_err(), "a real mask");
    assert!(op.signature(&[&inp]).is_err(), "no mask");
    let unmasked = MaskedMean { masked: false };
    assert!(unmasked.signature(&[&inp, &TensorType::index([2, 3])]).is_err(), "a mask too many");
    assert!(unmasked.signature(&[&TensorType::activation([2, 5])]).is_err(), "two extents");
}
