//! Cross-entropy of the upsampled logits with class weights.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::cross_entropy::CrossEntropy;

use crate::support::case::{Case, Input};
use crate::support::compare::assert_close;

/// Upsamples both logits to the mask's size, corners aligned: `[B, S1, S2, 2]`.
fn upsampled(logits: &Input, height: usize, width: usize) -> Vec<f64> {
    let &[batch, rows, columns, _] = logits.of.shape.extents() else { panic!("a rank") };
    let source = |i: usize, n: usize, m: usize| match m {
        1 => 0.0,
        _ => i as f64 * (n as f64 - 1.0) / (m as f64 - 1.0),
    };
    let mut out = Vec::new();
    for b in 0..batch {
        for y in 0..height {
            for x in 0..width {
                let (row, column) = (source(y, rows, height), source(x, columns, width));
                for class in 0..2 {
                    let mut sum = 0.0;
                    for r in 0..rows {
                        for c in 0..columns {
                            let near = |at: f64, n: usize| (1.0 - (at - n as f64).abs()).max(0.0);
                            let weight = near(row, r) * near(column, c);
                            sum += weight * logits.real[((b * rows + r) * columns + c) * 2 + class];
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

/// `sum of -w log softmax(z)[y]` over `sum of w`, over full-size logits.
fn naive(class_weights: [f64; 2], inputs: &[Input]) -> Vec<f64> {
    let &[_, height, width] = inputs[1].of.shape.extents() else { panic!("a rank") };
    let logits = upsampled(&inputs[0], height, width);
    let (mut losses, mut weights) = (0.0, 0.0);
    for (pair, &class) in logits.chunks_exact(2).zip(&inputs[1].index) {
        let largest = pair[0].max(pair[1]);
        let total = (pair[0] - largest).exp() + (pair[1] - largest).exp();
        let weight = class_weights[class as usize];
        losses += weight * (largest + total.ln() - pair[class as usize]);
        weights += weight;
    }
    vec![losses / weights]
}

/// A mask with a disc of objects in it, a little to the right of the middle.
fn disc(batch: usize, height: usize, width: usize) -> Input {
    let inside = |y: usize, x: usize| {
        let (dy, dx) = (y as f64 / height as f64 - 0.5, x as f64 / width as f64 - 0.6);
        i32::from(dy * dy + dx * dx < 0.1)
    };
    let pixels = (0..batch * height * width).map(|i| inside(i / width % height, i % width));
    Input::index([batch, height, width], pixels.collect())
}

fn case(grid: [usize; 3], mask: [usize; 2], class_weights: [f64; 2]) -> Case<CrossEntropy> {
    let [batch, height, width] = grid;
    let logits = Input::normal([batch, height, width, 2], 2.0, 1);
    let inputs = vec![logits, disc(batch, mask[0], mask[1])];
    Case::new(&format!("{grid:?} to {mask:?}"), CrossEntropy { class_weights }, inputs)
}

#[test]
fn grids_and_masks_of_every_size() {
    for (grid, mask) in [
        ([2, 3, 4], [13, 17]),
        ([1, 5, 2], [9, 31]),
        ([3, 2, 2], [2, 2]),
        ([1, 6, 6], [4, 5]),
        ([2, 1, 1], [5, 3]),
        ([1, 3, 4], [1, 1]),
        ([1, 1, 5], [7, 11]),
    ] {
        for class_weights in [[0.9, 1.1], [1.0, 1.0], [0.2, 3.0]] {
            case(grid, mask, class_weights).check(|inputs| naive(class_weights, inputs));
        }
    }
}

#[test]
fn one_class_only() {
    for class in [0, 1] {
        let mut case = case([2, 3, 3], [11, 7], [0.9, 1.1]);
        case.inputs[1].index.fill(class);
        case.check(|inputs| naive([0.9, 1.1], inputs));
    }
}

#[test]
fn more_pixels_than_a_chunk() {
    let case = case([2, 6, 7], [97, 193], [0.9, 1.1]);
    case.check_forward(&naive([0.9, 1.1], &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

/// Grids finer than the mask too, more columns than a block has, rows that start anywhere.
#[test]
fn on_a_device() {
    for (grid, mask) in [
        ([2, 3, 4], [13, 17]),
        ([3, 2, 2], [2, 2]),
        ([1, 6, 6], [4, 5]),
        ([2, 1, 1], [5, 3]),
        ([1, 3, 4], [1, 1]),
        ([2, 1, 5], [37, 12]),
        ([1, 2, 9], [7, 1100]),
        ([1, 3, 600], [9, 1032]),
    ] {
        case(grid, mask, [0.9, 1.1]).check_on_device();
    }
}

#[test]
fn one_class_only_on_a_device() {
    for class in [0, 1] {
        let mut case = case([2, 3, 3], [11, 7], [0.2, 3.0]);
        case.inputs[1].index.fill(class);
        case.check_on_device();
    }
}

#[test]
fn extreme_logits_on_a_device() {
    for scale in [1e4, -1e4] {
        let logits = Input::real([1, 2, 2, 2], vec![0.0, scale, 0.0, scale, scale, 0.0, 1.0, 3.0]);
        let op = CrossEntropy { class_weights: [0.9, 1.1] };
        Case::new("+-1e4", op, vec![logits, disc(1, 9, 9)]).check_on_device();
    }
}

/// The logarithm of a probability that is 0 in `f32` is still the difference of the logits.
#[test]
fn extreme_logits() {
    for scale in [1e4, -1e4] {
        let logits = Input::real([1, 2, 2, 2], vec![0.0, scale, 0.0, scale, scale, 0.0, 1.0, 3.0]);
        let case = Case::new(
            "+-1e4",
            CrossEntropy { class_weights: [0.9, 1.1] },
            vec![logits, disc(1, 9, 9)],
        );
        let want = naive([0.9, 1.1], &case.inputs);
        case.check_forward(&want);
        let (out, kept) = case.forward::<f32>(&case.inputs, true);
        assert_close("loss in f32", &out, &want, 1e-6);
        let gradients = case.backward::<f32>(&out, &kept, &[1.0], None);
        let dlogits = gradients[0].as_ref().expect("a gradient of the logits");
        assert!(dlogits.iter().all(|d| d.is_finite()), "{dlogits:?}");
        assert!(dlogits.iter().any(|d| d.abs() > 1e-2), "{dlogits:?}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    let signature = |logits: [usize; 4], mask: TensorType, class_weights: [f64; 2]| {
        CrossEntropy { class_weights }.signature(&[&TensorType::activation(logits), &mask])
    };
    let mask = || TensorType::index([2, 9, 8]);
    assert!(signature([2, 3, 3, 2], mask(), [0.9, 1.1]).is_ok());
    for (logits, mask) in [
        ([2, 3, 3, 3], mask()),
        ([1, 3, 3, 2], mask()),
        ([2, 0, 3, 2], mask()),
        ([2, 3, 3, 2], TensorType::activation([2, 9, 8])),
    ] {
        let found = format!("{logits:?}, {mask}");
        let error = signature(logits, mask, [0.9, 1.1]).expect_err(&found).to_string();
        assert!(error.contains(&found), "{error}");
    }
    for weights in [[0.0, 1.0], [1.0, f64::NAN], [-1.0, 1.0]] {
        let error = signature([2, 3, 3, 2], mask(), weights).expect_err("weights").to_string();
        assert!(error.contains("class weights above 0"), "{error}");
    }
}
