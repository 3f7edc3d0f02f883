//! A part of every axis.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::slice::Slice;

use crate::support::case::{Case, Input};

fn naive(op: &Slice, inputs: &[Input]) -> Vec<f64> {
    let extents = inputs[0].of.shape.extents();
    let outer: usize = extents[..op.axis].iter().product();
    let inner: usize = extents[op.axis + 1..].iter().product();
    let mut out = Vec::new();
    for o in 0..outer {
        for a in op.start..op.start + op.len {
            for i in 0..inner {
                out.push(inputs[0].real[(o * extents[op.axis] + a) * inner + i]);
            }
        }
    }
    out
}

fn case<const N: usize>(shape: [usize; N], axis: usize, start: usize, len: usize) -> Case<Slice> {
    let op = Slice { axis, start, len };
    Case::new(&format!("{op:?} of {shape:?}"), op, vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn every_axis() {
    for (axis, start, len) in [(0, 1, 1), (0, 0, 3), (1, 0, 1), (1, 2, 3), (2, 3, 4), (2, 6, 1)] {
        let case = case([3, 5, 7], axis, start, len);
        case.check(|inputs| naive(&case.op, inputs));
    }
}

/// Rows that are aligned and rows that are not, a part that is and one that is not, more than a block.
#[test]
fn on_a_device() {
    for (axis, start, len) in [(0, 1, 1), (0, 0, 3), (1, 2, 3), (2, 6, 1)] {
        case([3, 5, 7], axis, start, len).check_on_device();
    }
    for (start, len) in [(16, 48), (17, 48), (8, 3000)] {
        case([2, 1, 4096], 2, start, len).check_on_device();
    }
}

#[test]
fn more_than_a_chunk() {
    for (axis, start, len) in [(0, 1, 2), (1, 1, 7000)] {
        let case = case([4, 9001], axis, start, len);
        case.check_forward(&naive(&case.op, &case.inputs));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
    }
}

#[test]
fn the_gradient_is_zero_elsewhere() {
    let case = case([2, 20_000], 1, 3, 2);
    let got = case.backward::<f64>(&[], &[], &[1.0, 2.0, 3.0, 4.0], None);
    let mut want = vec![0.0; 40_000];
    (want[3], want[4], want[20_003], want[20_004]) = (1.0, 2.0, 3.0, 4.0);
    assert!(got[0].as_ref() == Some(&want), "1 to 4 in their places, 0 elsewhere");
}

#[test]
fn wrong_inputs_are_named() {
    let inp = TensorType::activation([4, 8]);
    let error = Slice { axis: 1, start: 5, len: 4 }.signature(&[&inp]).expect_err("9 of 8 columns");
    assert!(
        error.to_string().contains("from 5 on, on axis 1, but its inputs are [4, 8]"),
        "{error}"
    );
    let wrong = [(1, 0, 0), (2, 0, 1), (0, 4, 1), (0, 1, usize::MAX)];
    for (axis, start, len) in wrong {
        assert!(Slice { axis, start, len }.signature(&[&inp]).is_err(), "{axis} {start} {len}");
    }
}
