//! Sums, with ReLU, with positions repeated over samples.

use crformer::op::add::Add;
use crformer::op::contract::{Operation, TensorType};

use crate::support::case::{Case, Input};

/// `a[i] + b[i]`, `b` starting again as often as it has to.
fn naive(op: &Add, inputs: &[Input]) -> Vec<f64> {
    let (a, b) = (&inputs[0].real, &inputs[1].real);
    let mut out = Vec::new();
    for i in 0..a.len() {
        let b = b[i % b.len()];
        out.push(if op.relu && b < 0.0 { a[i] } else { a[i] + b });
    }
    out
}

fn check<const M: usize, const N: usize>(a: [usize; M], b: [usize; N]) {
    for relu in [false, true] {
        let op = Add { relu };
        let inputs = vec![Input::normal(a, 1.0, 1), Input::away_from_zero(b, 1.0, 2)];
        Case::new(&format!("{a:?} + {b:?}, relu: {relu}"), op.clone(), inputs)
            .check(|inputs| naive(&op, inputs));
    }
}

#[test]
fn same_shape() {
    check([2, 5, 7], [2, 5, 7]);
    check([1, 1], [1, 1]);
}

#[test]
fn repeated_over_samples() {
    check([3, 5, 7], [5, 7]);
    check([3, 5, 7], [1, 5, 7]);
    check([1, 5, 7], [5, 7]);
    check([4, 1], [1]);
}

#[test]
fn more_than_a_chunk() {
    for relu in [false, true] {
        for b in [[3, 6001], [1, 6001]] {
            let op = Add { relu };
            let inputs = vec![Input::normal([3, 6001], 1.0, 1), Input::away_from_zero(b, 1.0, 2)];
            let case = Case::new("chunks", op.clone(), inputs);
            case.check_forward(&naive(&op, &case.inputs));
            case.check_set_and_add();
            case.check_threads();
            case.check_f32();
        }
    }
}

/// Whole vectors and a rest, more samples than are loaded together, samples that begin anywhere.
#[test]
fn on_a_device() {
    let on_a_device = |relu: bool, a: [usize; 3], b: [usize; 2]| {
        let inputs = vec![Input::normal(a, 1.0, 1), Input::away_from_zero(b, 1.0, 2)];
        Case::new(&format!("{a:?} + {b:?}, relu: {relu}"), Add { relu }, inputs).check_on_device();
    };
    on_a_device(true, [3, 5, 7], [5, 7]);
    on_a_device(false, [5, 1, 16], [1, 16]);
    on_a_device(false, [1, 1, 1], [1, 1]);
    let same = [Input::normal([3, 1031], 1.0, 1), Input::away_from_zero([3, 1031], 1.0, 2)];
    for relu in [false, true] {
        Case::new("3 x 1031", Add { relu }, same.to_vec()).check_on_device();
    }
}

/// A repeated tensor's gradient is the sum over the samples, here of whole numbers: exact.
#[test]
fn the_gradient_of_a_repeated_tensor_is_a_sum() {
    let (samples, period) = (5, 20_011);
    let inputs = vec![Input::normal([5, 20_011], 1.0, 1), Input::normal([20_011], 1.0, 2)];
    let case = Case::new("sum over samples", Add { relu: false }, inputs);
    let dout: Vec<f64> = (0..samples * period).map(|i| (i % 97) as f64).collect();
    let mut want = vec![0.0; period];
    for (i, d) in dout.iter().enumerate() {
        want[i % period] += d;
    }
    let got = case.backward::<f64>(&[], &[], &dout, None);
    assert_eq!(got[0].as_ref(), Some(&dout));
    assert_eq!(got[1].as_ref(), Some(&want));
}

#[test]
fn wrong_inputs_are_named() {
    let a = TensorType::activation([4, 3, 8]);
    for b in [vec![4, 3, 7], vec![3], vec![8], vec![4, 1, 8], vec![2, 3, 8], vec![1, 4, 3, 8]] {
        let b = TensorType::activation(crformer::shape::Shape::new(b));
        let error = Add { relu: false }.signature(&[&a, &b]).expect_err("another shape");
        assert!(error.to_string().contains(&format!("[4, 3, 8], {}", b.shape)), "{error}");
    }
    let words = TensorType::index([4, 3, 8]);
    assert!(Add { relu: false }.signature(&[&a, &words]).is_err(), "indices");
}
