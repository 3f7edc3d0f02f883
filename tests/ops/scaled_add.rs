//! Sum with a learned scale.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::scaled_add::ScaledAdd;

use crate::support::case::{Case, Input};

fn naive(inputs: &[Input]) -> Vec<f64> {
    let mut out = Vec::new();
    for (a, b) in inputs[1].real.iter().zip(&inputs[2].real) {
        out.push(inputs[0].real[0] * a + b);
    }
    out
}

fn case<const N: usize>(shape: [usize; N], alpha: f64) -> Case<ScaledAdd> {
    let inputs = vec![
        Input::real([1], vec![alpha]),
        Input::normal(shape, 1.0, 1),
        Input::normal(shape, 1.0, 2),
    ];
    Case::new(&format!("{alpha} a + b, {shape:?}"), ScaledAdd {}, inputs)
}

#[test]
fn any_scale() {
    for alpha in [1.0, -0.7, 0.0] {
        case([2, 5, 7], alpha).check(naive);
    }
    case([1], 2.0).check(naive);
}

/// One block and several, a rest that fills no vector.
#[test]
fn on_a_device() {
    for shape in [[2, 5, 7], [1, 1, 1], [3, 1, 1031]] {
        case(shape, -0.7).check_on_device();
    }
}

#[test]
fn more_than_a_chunk() {
    let case = case([3, 12_345], 0.3);
    case.check_forward(&naive(&case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
    let dout: Vec<f64> = (0..37_035).map(|i| f64::from(i % 13) - 6.0).collect();
    let dalpha: f64 = dout.iter().zip(&case.inputs[1].real).map(|(d, a)| d * a).sum();
    let got = case.backward::<f64>(&[], &[], &dout, None);
    let got = got[0].as_ref().expect("dalpha")[0];
    assert!((got - dalpha).abs() <= 1e-10 * dalpha.abs().max(1.0), "{got}, expected {dalpha}");
}

#[test]
fn wrong_inputs_are_named() {
    let (one, two) = (TensorType::activation([1]), TensorType::activation([2]));
    let (a, b) = (TensorType::activation([4, 8]), TensorType::activation([8, 4]));
    let error = ScaledAdd {}.signature(&[&one, &a, &b]).expect_err("two shapes");
    assert!(error.to_string().contains("[1], [4, 8], [8, 4]"), "{error}");
    assert!(ScaledAdd {}.signature(&[&two, &a, &a]).is_err(), "two scales");
    assert!(ScaledAdd {}.signature(&[&one, &a]).is_err(), "no b");
}
