//! Neighbouring pixels of a map put side by side.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::patch_merging::PatchMerging;

use crate::support::case::{Case, Input};

/// Neighbours (0, 0), (1, 0), (0, 1), (1, 1) as (row, column), all channels of each.
fn naive(inputs: &[Input]) -> Vec<f64> {
    let &[batch, height, width, channels] = inputs[0].of.shape.extents() else { panic!("a rank") };
    let mut out = Vec::new();
    for b in 0..batch {
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                for (i, j) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let pixel = (b * height + 2 * y + i) * width + 2 * x + j;
                    out.extend((0..channels).map(|c| inputs[0].real[pixel * channels + c]));
                }
            }
        }
    }
    out
}

fn case(shape: [usize; 4]) -> Case<PatchMerging> {
    Case::new(&format!("merging {shape:?}"), PatchMerging {}, vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn maps_of_every_size() {
    for shape in [[2, 6, 10, 3], [3, 2, 2, 1], [1, 4, 2, 7], [2, 2, 14, 5]] {
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
    for shape in [[2, 6, 10, 3], [3, 2, 2, 1], [2, 4, 6, 48], [1, 4, 2, 129], [1, 12, 6, 96]] {
        case(shape).check_on_device();
    }
}

#[test]
fn wrong_inputs_are_named() {
    for shape in [[1, 5, 4, 2], [1, 4, 5, 2]] {
        let inp = TensorType::activation(shape);
        let error = PatchMerging {}.signature(&[&inp]).expect_err("an odd extent");
        assert!(error.to_string().contains("even H and W"), "{error}");
        assert!(error.to_string().contains(&format!("{shape:?}")), "{error}");
    }
    assert!(PatchMerging {}.signature(&[&TensorType::activation([4, 4, 2])]).is_err());
}
