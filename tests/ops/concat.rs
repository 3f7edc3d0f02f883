//! Concatenation along every axis.

use arrayvec::ArrayVec;
use crformer::cuda::arguments::Pointer;
use crformer::cuda::precision::Precision;
use crformer::op::concat::Concat;
use crformer::op::contract::{Operation, TensorType};
use crformer::op::device::{CudaBackward, CudaGradient, CudaInput, CudaRandom, OnCuda};
use crformer::write::Write;

use crate::support::case::{Case, Input};
use crate::support::device;

/// Of every output element: which input it comes from, and from where in it.
fn naive(axis: usize, inputs: &[Input]) -> Vec<f64> {
    let extents = |i: &Input| i.of.shape.extents().to_vec();
    let outer: usize = extents(&inputs[0])[..axis].iter().product();
    let inner: usize = extents(&inputs[0])[axis + 1..].iter().product();
    let mut out = Vec::new();
    for o in 0..outer {
        for input in inputs {
            let along = extents(input)[axis];
            for a in 0..along {
                for i in 0..inner {
                    out.push(input.real[(o * along + a) * inner + i]);
                }
            }
        }
    }
    out
}

fn case<const N: usize>(axis: usize, shapes: &[[usize; N]]) -> Case<Concat> {
    let input = |(i, shape): (usize, &[usize; N])| Input::normal(*shape, 1.0, i as u64);
    let inputs = shapes.iter().enumerate().map(input).collect();
    Case::new(&format!("{shapes:?} along {axis}"), Concat { axis }, inputs)
}

#[test]
fn every_axis() {
    case(0, &[[2, 3, 5], [1, 3, 5]]).check(|i| naive(0, i));
    case(1, &[[2, 3, 5], [2, 1, 5], [2, 2, 5]]).check(|i| naive(1, i));
    case(2, &[[2, 3, 5], [2, 3, 1]]).check(|i| naive(2, i));
    case(0, &[[1], [4]]).check(|i| naive(0, i));
}

#[test]
fn eight_inputs() {
    case(1, &[[3, 2]; 8]).check(|i| naive(1, i));
}

/// Rows that are aligned and rows that are not, more than a block of a part, one part, eight.
#[test]
fn on_a_device() {
    case(0, &[[2, 3, 5], [1, 3, 5]]).check_on_device();
    case(1, &[[2, 3, 5], [2, 1, 5], [2, 2, 5]]).check_on_device();
    case(1, &[[33, 160], [33, 8], [33, 24]]).check_on_device();
    case(2, &[[2, 3, 64], [2, 3, 2]]).check_on_device();
    case(0, &[[1], [4]]).check_on_device();
    case(1, &[[3, 2]; 8]).check_on_device();
}

/// A tensor that is joined twice has one gradient, which the second part is added to.
#[test]
fn joined_twice_on_a_device() {
    let device = device::open();
    let of = TensorType::activation([5, 16]);
    let dout: Vec<f64> = (0..160).map(f64::from).collect();
    let on_device = device::filled(&device, &device::bytes(&dout, Precision::F32));
    let gradient = device.allocate(5 * 16 * size_of::<f32>()).expect("memory");
    let write = |write| Some(CudaGradient { values: gradient.pointer(), write });
    let unread = CudaInput { working: Pointer::NULL, full: Pointer::NULL };
    let pass = CudaBackward {
        device: &device,
        precision: Precision::F32,
        types: [&of; 2].into_iter().collect(),
        inputs: [unread; 2].into_iter().collect(),
        out: Pointer::NULL,
        kept: ArrayVec::new(),
        dout: on_device.pointer(),
        dinputs: [write(Write::Set), write(Write::Add)].into_iter().collect(),
        workspace: Pointer::NULL,
        tickets: Pointer::NULL,
        random: CudaRandom { seed: 0, node: 0, step: Pointer::NULL },
    };
    OnCuda::backward(&Concat { axis: 1 }, &pass).expect("both parts");
    let rows = dout.chunks(32);
    let want = rows.flat_map(|row| (0..16).map(|i| row[i] + row[16 + i]));
    assert_eq!(device::read(&device, &gradient, 80, Precision::F32), want.collect::<Vec<f64>>());
}

#[test]
fn more_than_a_chunk() {
    for (axis, shapes) in [(1, [[41, 513], [41, 97]]), (0, [[2, 12_345], [1, 12_345]])] {
        let case = case(axis, &shapes);
        case.check_forward(&naive(axis, &case.inputs));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
        let out = naive(axis, &case.inputs);
        let parts = case.backward::<f64>(&[], &[], &out, None);
        for (part, input) in parts.iter().zip(&case.inputs) {
            assert_eq!(part.as_ref(), Some(&input.real), "taking apart undoes putting together");
        }
    }
}

#[test]
fn wrong_inputs_are_named() {
    let (a, b) = (TensorType::activation([4, 8]), TensorType::activation([4, 7]));
    let error = Concat { axis: 0 }.signature(&[&a, &b]).expect_err("other columns");
    assert!(error.to_string().contains("axis 0, but its inputs are [4, 8], [4, 7]"), "{error}");
    assert!(Concat { axis: 2 }.signature(&[&a, &a]).is_err(), "no such axis");
    assert!(Concat { axis: 1 }.signature(&[&a]).is_err(), "one input");
    assert!(Concat { axis: 1 }.signature(&[&a; 9]).is_err(), "nine inputs");
    assert!(Concat { axis: 1 }.signature(&[&a, &TensorType::index([4, 1])]).is_err(), "indices");
}
