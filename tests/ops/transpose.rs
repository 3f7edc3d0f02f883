//! Matrices transposed.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::transpose::Transpose;

use crate::support::case::{Case, Input};

fn naive(inputs: &[Input]) -> Vec<f64> {
    let &[batch, rows, cols] = inputs[0].of.shape.extents() else { panic!("three extents") };
    let mut out = Vec::new();
    for b in 0..batch {
        for col in 0..cols {
            for row in 0..rows {
                out.push(inputs[0].real[(b * rows + row) * cols + col]);
            }
        }
    }
    out
}

fn case(shape: [usize; 3]) -> Case<Transpose> {
    Case::new(&format!("{shape:?}"), Transpose {}, vec![Input::normal(shape, 1.0, 1)])
}

#[test]
fn any_extents() {
    for shape in [[2, 3, 5], [1, 1, 7], [2, 7, 1], [3, 17, 16], [1, 33, 19]] {
        case(shape).check(naive);
    }
}

#[test]
fn more_than_a_chunk() {
    for shape in [[2, 901, 24], [3, 24, 901], [1, 130, 517]] {
        let case = case(shape);
        case.check_forward(&naive(&case.inputs));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
        let back = case.backward::<f64>(&[], &[], &naive(&case.inputs), None);
        assert!(back[0].as_ref() == Some(&case.inputs[0].real), "twice transposed is the same");
    }
}

/// High and wide tiles, several of either, lines that are aligned and lines that are not.
#[test]
fn on_a_device() {
    for shape in [[2, 3, 5], [1, 1, 1], [2, 132, 24], [1, 24, 260], [2, 33, 130], [1, 131, 36]] {
        case(shape).check_on_device();
    }
    Case::new("a map", Transpose {}, vec![Input::normal([2, 3, 5, 4], 1.0, 3)]).check_on_device();
}

#[test]
fn places_of_a_map_are_rows() {
    let map = Input::normal([2, 3, 5, 4], 1.0, 3);
    let rows = Input::real([2, 15, 4], map.real.clone());
    let want = naive(std::slice::from_ref(&rows));
    Case::new("a map", Transpose {}, vec![map]).check(|_| want.clone());
}

#[test]
fn wrong_inputs_are_named() {
    let error =
        Transpose {}.signature(&[&TensorType::activation([4, 8])]).expect_err("two extents");
    assert!(error.to_string().contains("[B, H, W, N], but its inputs are [4, 8]"), "{error}");
    assert!(Transpose {}.signature(&[&TensorType::index([2, 4, 8])]).is_err(), "indices");
    assert!(Transpose {}.signature(&[]).is_err(), "no input");
}
