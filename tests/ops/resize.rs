//! Bilinear resizing, both rules of where the corners lie.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::resize::Resize;

use crate::support::case::{Case, Input};

/// Source position of output `i`: both rules as the model's description prints them.
fn source(i: usize, inputs: usize, outputs: usize, align_corners: bool) -> f64 {
    let (i, n, m) = (i as f64, inputs as f64, outputs as f64);
    if !align_corners {
        ((i + 0.5) * n / m - 0.5).max(0.0)
    } else if outputs == 1 {
        0.0
    } else {
        i * (n - 1.0) / (m - 1.0)
    }
}

/// Each output from its four neighbours.
fn naive(op: &Resize, inputs: &[Input]) -> Vec<f64> {
    let &[batch, height, width, channels] = inputs[0].of.shape.extents() else { panic!("a rank") };
    let mut out = Vec::new();
    for b in 0..batch {
        for y in 0..op.height {
            for x in 0..op.width {
                let row = source(y, height, op.height, op.align_corners);
                let column = source(x, width, op.width, op.align_corners);
                let (r, c) = (row.floor() as usize, column.floor() as usize);
                let (fr, fc) = (row - row.floor(), column - column.floor());
                let (below, right) = ((r + 1).min(height - 1), (c + 1).min(width - 1));
                for channel in 0..channels {
                    let at = |r: usize, c: usize| {
                        inputs[0].real[((b * height + r) * width + c) * channels + channel]
                    };
                    let above = (1.0 - fc) * at(r, c) + fc * at(r, right);
                    let under = (1.0 - fc) * at(below, c) + fc * at(below, right);
                    out.push((1.0 - fr) * above + fr * under);
                }
            }
        }
    }
    out
}

fn case(shape: [usize; 4], op: &Resize) -> Case<Resize> {
    Case::new(&format!("{shape:?} by {op:?}"), op.clone(), vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn larger_and_smaller() {
    for align_corners in [false, true] {
        for (shape, height, width) in [
            ([2, 3, 5, 3], 6, 10),
            ([1, 5, 3, 2], 17, 11),
            ([2, 7, 6, 1], 3, 4),
            ([1, 4, 9, 5], 9, 4),
            ([1, 3, 3, 2], 3, 3),
        ] {
            let op = Resize { height, width, align_corners };
            case(shape, &op).check(|inputs| naive(&op, inputs));
        }
    }
}

#[test]
fn one_row_or_column() {
    for align_corners in [false, true] {
        for (shape, height, width) in
            [([2, 1, 1, 3], 4, 5), ([1, 4, 5, 2], 1, 1), ([1, 1, 6, 1], 3, 1), ([1, 5, 1, 2], 1, 7)]
        {
            let op = Resize { height, width, align_corners };
            case(shape, &op).check(|inputs| naive(&op, inputs));
        }
    }
}

#[test]
fn more_pixels_than_a_chunk() {
    for (shape, height, width, align_corners) in
        [([2, 15, 15, 37], 30, 30, false), ([1, 30, 30, 2], 240, 121, true)]
    {
        let op = Resize { height, width, align_corners };
        let case = case(shape, &op);
        case.check_forward(&naive(&op, &case.inputs));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
    }
}

/// Maps in shared memory and maps that do not fit or would be read for nothing; aligned pixels and others.
#[test]
fn on_a_device() {
    for align_corners in [false, true] {
        for (shape, height, width) in [
            ([2, 3, 5, 3], 6, 10),
            ([1, 5, 3, 24], 17, 11),
            ([2, 7, 6, 1], 3, 4),
            ([1, 3, 3, 2], 3, 3),
            ([1, 1, 1, 3], 4, 5),
            ([1, 4, 5, 8], 1, 1),
            ([1, 2, 2, 2], 40, 60),
            ([1, 30, 28, 16], 3, 2),
            ([1, 2, 2, 1], 3, 2000),
        ] {
            case(shape, &Resize { height, width, align_corners }).check_on_device();
        }
    }
}

/// Known numbers: what doubling and corner-aligned widening make of 0, 1, 2, 3.
#[test]
fn a_ramp() {
    let ramp = || vec![Input::real([1, 1, 4, 1], vec![0.0, 1.0, 2.0, 3.0])];
    let doubled = Resize { height: 1, width: 8, align_corners: false };
    let doubled = Case::new("doubled", doubled, ramp());
    doubled.check_forward(&[0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]);
    let widened = Resize { height: 1, width: 7, align_corners: true };
    let widened = Case::new("widened", widened, ramp());
    widened.check_forward(&[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]);
}

#[test]
fn wrong_inputs_are_named() {
    let op = Resize { height: 0, width: 4, align_corners: false };
    let inp = TensorType::activation([1, 3, 5, 2]);
    let error = op.signature(&[&inp]).expect_err("no rows");
    assert!(error.to_string().contains("height: 0"), "{error}");
    assert!(error.to_string().contains("[1, 3, 5, 2]"), "{error}");
    let op = Resize { height: 2, width: 4, align_corners: false };
    assert!(op.signature(&[&TensorType::activation([1, 0, 5, 2])]).is_err());
    assert!(op.signature(&[&TensorType::activation([3, 5, 2])]).is_err());
}
