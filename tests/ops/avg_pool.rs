//! Mean of 2 x 2 pixels.

use crformer::op::avg_pool::AvgPool;
use crformer::op::contract::{Operation, TensorType};

use crate::support::case::{Case, Input};

/// The mean of each output's four pixels.
fn naive(inputs: &[Input]) -> Vec<f64> {
    let &[batch, height, width, channels] = inputs[0].of.shape.extents() else { panic!("a rank") };
    let at = |b: usize, y: usize, x: usize, c: usize| {
        inputs[0].real[((b * height + y) * width + x) * channels + c]
    };
    let mut out = Vec::new();
    for b in 0..batch {
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                for c in 0..channels {
                    let left = at(b, y, x, c) + at(b, y + 1, x, c);
                    let right = at(b, y, x + 1, c) + at(b, y + 1, x + 1, c);
                    out.push((left + right) / 4.0);
                }
            }
        }
    }
    out
}

fn case(shape: [usize; 4]) -> Case<AvgPool> {
    Case::new(&format!("mean of {shape:?}"), AvgPool {}, vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn maps_of_every_size() {
    for shape in [[2, 6, 10, 3], [3, 2, 2, 1], [1, 4, 2, 17], [2, 2, 14, 5]] {
        case(shape).check(naive);
    }
}

#[test]
fn more_pixels_than_a_chunk() {
    let case = case([1, 26, 34, 150]);
    case.check_forward(&naive(&case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

/// Pixels that are aligned and pixels that are not, more than a block of them.
#[test]
fn on_a_device() {
    for shape in [[2, 6, 10, 3], [3, 2, 2, 1], [2, 4, 6, 48], [1, 4, 2, 129], [1, 18, 10, 128]] {
        case(shape).check_on_device();
    }
}

#[test]
fn wrong_inputs_are_named() {
    for shape in [[1, 5, 4, 2], [1, 4, 5, 2]] {
        let inp = TensorType::activation(shape);
        let error = AvgPool {}.signature(&[&inp]).expect_err("an odd extent");
        assert!(error.to_string().contains("even H and W"), "{error}");
        assert!(error.to_string().contains(&format!("{shape:?}")), "{error}");
    }
    assert!(AvgPool {}.signature(&[&TensorType::activation([4, 4, 2])]).is_err());
}
