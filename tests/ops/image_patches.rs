//! Pictures cut into patches, against the weight's order of a convolution.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::image_patches::ImagePatches;

use crate::support::case::{Case, Input};

/// Element by element in the order of the output.
fn naive(patch: usize, inputs: &[Input]) -> Vec<f64> {
    let &[batch, channels, height, width] = inputs[0].of.shape.extents() else { panic!("a rank") };
    let mut out = Vec::new();
    for b in 0..batch {
        for top in (0..height).step_by(patch) {
            for left in (0..width).step_by(patch) {
                for c in 0..channels {
                    for i in 0..patch {
                        for j in 0..patch {
                            let row = (b * channels + c) * height + top + i;
                            out.push(inputs[0].real[row * width + left + j]);
                        }
                    }
                }
            }
        }
    }
    out
}

fn case<const N: usize>(patch: usize, shape: [usize; N]) -> Case<ImagePatches> {
    let name = format!("patches of {patch} of {shape:?}");
    Case::new(&name, ImagePatches { patch }, vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn patches_of_every_size() {
    for (patch, shape) in
        [(4, [2, 3, 8, 12]), (3, [1, 2, 9, 3]), (1, [2, 5, 3, 4]), (2, [3, 1, 2, 6])]
    {
        case(patch, shape).check(|inputs| naive(patch, inputs));
    }
}

#[test]
fn one_pixel() {
    case(1, [1, 1, 1, 1]).check(|inputs| naive(1, inputs));
}

#[test]
fn more_patches_than_a_chunk() {
    let case = case(4, [2, 3, 96, 100]);
    case.check_forward(&naive(4, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

/// Lines of patches that fit into a tile, that take several, patches that do; aligned and not.
#[test]
fn on_a_device() {
    for (patch, shape) in [
        (4, [2, 3, 8, 12]),
        (3, [1, 2, 9, 3]),
        (1, [2, 5, 3, 4]),
        (2, [3, 1, 2, 6]),
        (4, [1, 3, 4, 800]),
        (60, [1, 3, 60, 120]),
    ] {
        case(patch, shape).check_on_device();
    }
}

#[test]
fn wrong_inputs_are_named() {
    let op = ImagePatches { patch: 4 };
    let image = TensorType::activation([1, 3, 8, 10]);
    let error = op.signature(&[&image]).expect_err("10 columns against patches of 4");
    assert!(error.to_string().contains("multiples of 4"), "{error}");
    assert!(error.to_string().contains("[1, 3, 8, 10]"), "{error}");
    assert!(ImagePatches { patch: 0 }.signature(&[&image]).is_err());
    assert!(op.signature(&[&TensorType::activation([3, 8, 8])]).is_err());
    assert!(op.signature(&[]).is_err());
}
