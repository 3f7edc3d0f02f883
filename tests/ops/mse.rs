//! Mean squared difference.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::mse::Mse;

use crate::support::case::{Case, Input};
use crate::support::compare::assert_close;

fn naive(inputs: &[Input]) -> Vec<f64> {
    let (a, b) = (&inputs[0].real, &inputs[1].real);
    let mut sum = 0.0;
    for i in 0..a.len() {
        sum += (a[i] - b[i]).powi(2);
    }
    vec![sum / a.len() as f64]
}

fn case(rows: usize, channels: usize, detach_second: bool) -> Case<Mse> {
    let inputs =
        vec![Input::normal([rows, channels], 1.0, 1), Input::normal([rows, channels], 2.0, 2)];
    Case::new(&format!("{rows} x {channels}"), Mse { detach_second }, inputs)
}

#[test]
fn both_sides() {
    case(3, 37, false).check(naive);
    case(1, 1, false).check(naive);
}

/// One block and several, a rest that fills no vector, one gradient and two.
#[test]
fn on_a_device() {
    for (rows, channels, detach_second) in [(3, 37, false), (1, 1, false), (5, 1031, true)] {
        case(rows, channels, detach_second).check_on_device();
    }
}

#[test]
fn a_detached_side_has_no_gradient() {
    let case = case(2, 5, true);
    assert_eq!(case.signature().differentiable, [true, false]);
    case.check(naive);
}

#[test]
fn more_than_a_chunk() {
    let case = case(5, 9001, false);
    case.check_forward(&naive(&case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn equal_sides_give_zero() {
    let mut case = case(2, 7, false);
    case.inputs[1] = case.inputs[0].clone();
    assert_eq!(case.forward::<f32>(&case.inputs, true).0, [0.0]);
    let got = case.backward::<f32>(&[0.0], &[], &[3.0], None);
    assert_close("da", got[0].as_ref().expect("da"), &[0.0; 14], 0.0);
}

#[test]
fn wrong_inputs_are_named() {
    let op = Mse { detach_second: false };
    let (a, b) = (TensorType::activation([4, 8]), TensorType::activation([4, 7]));
    let error = op.signature(&[&a, &b]).expect_err("two shapes");
    assert!(error.to_string().contains("[4, 8], [4, 7]"), "{error}");
    let tokens = TensorType::activation([2, 4, 8]);
    assert!(op.signature(&[&tokens, &tokens]).is_err(), "three extents");
    assert!(op.signature(&[&a]).is_err(), "one input");
}
