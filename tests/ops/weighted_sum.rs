//! Weighted sum of scalars.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::weighted_sum::WeightedSum;

use crate::support::case::{Case, Input};

fn case(count: usize) -> Case<WeightedSum> {
    let weights = [1.0, 0.1, -2.0, 0.0, 3.5, 1e-3, 7.0, 0.25][..count].to_vec();
    let scalar = |i: usize| Input::statistic([1], vec![0.3 + i as f64]);
    let inputs = (0..count).map(scalar).collect();
    Case::new(&format!("{count} scalars"), WeightedSum { weights }, inputs)
}

#[test]
fn any_number_of_scalars() {
    for count in [1, 2, 3, 8] {
        let case = case(count);
        case.check(|inputs| {
            let mut sum = 0.0;
            for (weight, input) in case.op.weights.iter().zip(inputs) {
                sum += weight * input.real[0];
            }
            vec![sum]
        });
    }
}

/// Scalars and their gradients are f32 in every precision.
#[test]
fn on_a_device() {
    for count in [1, 3, 8] {
        case(count).check_on_device();
    }
}

#[test]
fn wrong_inputs_are_named() {
    let op = WeightedSum { weights: vec![1.0, 0.1] };
    let (one, two) = (TensorType::statistic([1]), TensorType::statistic([2]));
    let error = op.signature(&[&one, &two]).expect_err("two numbers");
    assert!(error.to_string().contains("[1], [2]"), "{error}");
    assert!(op.signature(&[&one]).is_err(), "one scalar for two weights");
    assert!(op.signature(&[&one, &TensorType::activation([1])]).is_err(), "no statistic");
    assert!(WeightedSum { weights: Vec::new() }.signature(&[]).is_err(), "nothing to sum");
    let error = WeightedSum { weights: vec![f64::NAN] }.signature(&[&one]).expect_err("NaN");
    assert!(error.to_string().contains("NaN"), "{error}");
}
