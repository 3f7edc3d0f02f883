//! Convolution with zero padding to the same size.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::conv::Conv;

use crate::support::case::{Case, Input};

/// One output element at a time.
fn naive(inputs: &[Input]) -> Vec<f64> {
    let &[batch, height, width, channels] = inputs[0].of.shape.extents() else { panic!("a rank") };
    let &[outputs, _, kernel, _] = inputs[1].of.shape.extents() else { panic!("a rank") };
    let inp = |b: usize, y: isize, x: isize, c: usize| {
        if y < 0 || x < 0 || y >= height as isize || x >= width as isize {
            return 0.0;
        }
        inputs[0].real[((b * height + y as usize) * width + x as usize) * channels + c]
    };
    let mut out = Vec::new();
    for b in 0..batch {
        for y in 0..height as isize {
            for x in 0..width as isize {
                for o in 0..outputs {
                    let mut sum = inputs[2].real[o];
                    for c in 0..channels {
                        for i in 0..kernel {
                            for j in 0..kernel {
                                let (r, s) = (y + i as isize, x + j as isize);
                                let half = (kernel / 2) as isize;
                                let weight = ((o * channels + c) * kernel + i) * kernel + j;
                                sum += inputs[1].real[weight] * inp(b, r - half, s - half, c);
                            }
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

fn case(shape: [usize; 4], outputs: usize, kernel: usize) -> Case<Conv> {
    let inputs = vec![
        Input::normal(shape, 1.0, 1),
        Input::normal([outputs, shape[3], kernel, kernel], 0.3, 2),
        Input::normal([outputs], 1.0, 3),
    ];
    Case::new(&format!("{kernel} x {kernel} over {shape:?} to {outputs}"), Conv {}, inputs)
}

#[test]
fn kernels_of_every_size() {
    for (shape, outputs, kernel) in [
        ([2, 4, 5, 3], 2, 3),
        ([1, 3, 7, 1], 5, 3),
        ([2, 5, 3, 2], 3, 1),
        ([1, 6, 5, 2], 2, 5),
        ([3, 2, 3, 5], 1, 3),
    ] {
        case(shape, outputs, kernel).check(naive);
    }
}

#[test]
fn a_kernel_larger_than_the_map() {
    for (shape, kernel) in [([2, 1, 1, 3], 3), ([1, 1, 4, 2], 5), ([2, 2, 1, 1], 7)] {
        case(shape, 2, kernel).check(naive);
    }
}

#[test]
fn more_pixels_than_a_chunk() {
    for (shape, outputs) in [([2, 17, 19, 40], 33), ([1, 30, 30, 50], 2)] {
        let case = case(shape, outputs, 3);
        case.check_forward(&naive(&case.inputs));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
    }
}

/// Channels that are multiples of eight, of two and of nothing, as much of a tile as there is.
#[test]
fn on_a_device() {
    for (shape, outputs, kernel) in [
        ([2, 4, 5, 3], 2, 3),
        ([1, 3, 7, 1], 5, 3),
        ([2, 5, 3, 2], 3, 1),
        ([1, 6, 5, 2], 2, 5),
        ([2, 1, 1, 3], 2, 3),
        ([1, 1, 4, 2], 2, 5),
        ([2, 2, 1, 1], 2, 7),
        ([1, 5, 7, 40], 24, 3),
        ([3, 7, 9, 34], 40, 3),
        ([1, 2, 3, 8], 150, 1),
    ] {
        case(shape, outputs, kernel).check_on_device();
    }
}

/// More pixels than a block looks at ahead, and more than a tile of rows.
#[test]
fn more_pixels_than_a_part_on_a_device() {
    for (shape, outputs) in [([1, 30, 30, 10], 6), ([2, 17, 19, 16], 33)] {
        case(shape, outputs, 3).check_on_device();
    }
}

/// Sums along the depth in parts, of the output and of the input's gradient, whose rows are aligned to two numbers
/// too.
#[test]
fn more_channels_than_a_part_on_a_device() {
    for (shape, outputs) in [([1, 5, 7, 136], 130), ([1, 6, 5, 130], 2), ([1, 5, 7, 34], 64)] {
        case(shape, outputs, 3).check_on_device();
    }
}

#[test]
fn wrong_inputs_are_named() {
    let signature = |weight: [usize; 4], bias: usize| {
        let inp = TensorType::activation([1, 5, 6, 3]);
        let weight = TensorType::activation(weight);
        Conv {}.signature(&[&inp, &weight, &TensorType::activation([bias])])
    };
    assert!(signature([4, 3, 3, 3], 4).is_ok());
    for (weight, bias, what) in [
        ([4, 2, 3, 3], 4, "as many I"),
        ([4, 3, 2, 2], 4, "an odd k"),
        ([4, 3, 3, 5], 4, "an odd k"),
        ([4, 3, 3, 3], 3, "bias [O]"),
    ] {
        let error = signature(weight, bias).expect_err(what).to_string();
        assert!(error.contains(what) && error.contains(&format!("{weight:?}")), "{error}");
    }
    assert!(Conv {}.signature(&[&TensorType::activation([1, 5, 6, 3])]).is_err());
}
