//! The linear layer with every prologue and epilogue.

mod device;

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::cpu::product::{Matrix, Panels};
use crformer::op::linear::Linear;
use crformer::rng::Philox;

use crate::support::case::{Case, Input};

/// The norm of every row, in f64; the rows themselves without a norm.
fn normed(op: &Linear, inputs: &[Input]) -> Vec<f64> {
    let (inp, channels) = (&inputs[0].real, inputs[0].of.shape.channels());
    let Some(eps) = op.norm else { return inp.clone() };
    let row = |row: &[f64]| {
        let mean = row.iter().sum::<f64>() / channels as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / channels as f64;
        let of = |(c, x): (usize, &f64)| {
            (x - mean) / (variance + eps).sqrt() * inputs[2].real[c] + inputs[3].real[c]
        };
        row.iter().enumerate().map(of).collect::<Vec<f64>>()
    };
    inp.chunks(channels).flat_map(row).collect()
}

/// What dropout multiplies each element of the output by: number `i` of the stream decides over element or
/// sample `i`.
fn factors(op: &Linear, inp: &Input, len: usize) -> Vec<f64> {
    let Some(drop) = op.drop else { return vec![1.0; len] };
    let of_sample = len / inp.of.shape.extents()[0];
    let factor = |i: usize| {
        let number = if drop.per_sample { i / of_sample } else { i };
        match stream().uniform(number as u64) >= drop.rate {
            true => 1.0 / (1.0 - drop.rate),
            false => 0.0,
        }
    };
    (0..len).map(factor).collect()
}

/// The stream of every case.
fn stream() -> Philox {
    Philox::new(5, 5)
}

/// `residual + drop(activation(norm(inp) weight^T + bias))`, one element at a time.
fn naive(op: &Linear, inputs: &[Input]) -> Vec<f64> {
    let (inp, weight) = (&inputs[0], &inputs[1]);
    let n = normed(op, inputs);
    let (rows, channels) = (inp.of.shape.rows(), inp.of.shape.channels());
    let outputs = weight.of.shape.extents()[0];
    let factors = factors(op, inp, rows * outputs);
    let mut out = Vec::new();
    for row in 0..rows {
        for o in 0..outputs {
            let mut sum = 0.0;
            for c in 0..channels {
                sum += n[row * channels + c] * weight.real[o * channels + c];
            }
            if op.bias {
                sum += inputs[if op.norm.is_some() { 4 } else { 2 }].real[o];
            }
            sum = match op.activation {
                Activation::None => sum,
                Activation::Relu => sum.max(0.0),
                Activation::Gelu => 0.5 * sum * (1.0 + libm::erf(sum / 2f64.sqrt())),
            };
            sum *= factors[row * outputs + o];
            if op.residual {
                sum += inputs[inputs.len() - 1].real[row * outputs + o];
            }
            out.push(sum);
        }
    }
    out
}

fn check(name: &str, rows: usize, channels: usize, outputs: usize, op: Linear) {
    let mut inputs = vec![
        Input::normal([2, rows, channels], 1.0, 1),
        Input::normal([outputs, channels], 0.3, 2),
    ];
    if op.norm.is_some() {
        inputs.extend([Input::normal([channels], 1.0, 5), Input::normal([channels], 1.0, 6)]);
    }
    if op.bias {
        inputs.push(Input::normal([outputs], 1.0, 3));
    }
    if op.residual {
        inputs.push(Input::normal([2, rows, outputs], 1.0, 4));
    }
    Case::new(name, op.clone(), inputs).check(|inputs| naive(&op, inputs));
}

#[test]
fn every_epilogue() {
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        for (bias, residual) in [(true, false), (false, false), (true, true), (false, true)] {
            if residual && activation != Activation::None {
                continue;
            }
            let op = Linear { activation, bias, residual, ..Linear::default() };
            check(&format!("{op:?}"), 5, 7, 3, op.clone());
            let op = Linear { norm: Some(1e-5), ..op };
            check(&format!("{op:?}"), 5, 7, 3, op);
        }
    }
}

#[test]
fn dropout_before_the_residual() {
    for (norm, bias) in [(None, true), (None, false), (Some(1e-5), true)] {
        for per_sample in [false, true] {
            for rate in [0.0, 0.3, 0.9] {
                let drop = Some(Dropout { rate, per_sample });
                let op = Linear { norm, bias, drop, residual: true, ..Linear::default() };
                check(&format!("{op:?}"), 5, 7, 3, op.clone());
                check(&format!("{op:?}, 2 x 131 rows"), 131, 2, 1, op);
            }
        }
    }
}

/// Of 100000 elements the kept share is within five standard deviations of what it should be, another
/// stream keeps others, and what is dropped is 0, whatever it was.
#[test]
fn the_share_is_right_and_the_stream_matters() {
    let drop = Some(Dropout { rate: 0.3, per_sample: false });
    let op = Linear { drop, residual: true, ..Linear::default() };
    let [inp, weight] =
        [[1000, 1], [100, 1]].map(|shape| Input::real(shape, vec![f64::INFINITY; shape[0]]));
    let residual = Input::real([1000, 100], vec![0.0; 100_000]);
    let mut case = Case::new("infinities", op, vec![inp, weight, residual]);
    let first = case.forward::<f32>(&case.inputs, true).0;
    assert!(first.iter().all(|&x| x == 0.0 || x == f64::INFINITY), "what is dropped is 0");
    let kept = first.iter().filter(|x| **x != 0.0).count() as f64;
    let deviation = (100_000.0 * 0.3 * 0.7f64).sqrt();
    assert!((kept - 70_000.0).abs() < 5.0 * deviation, "{kept} of 100000 kept");
    case.random = Philox::new(5, 6);
    assert!(first != case.forward::<f32>(&case.inputs, true).0, "two streams, one mask");
}

#[test]
fn one_row_one_channel() {
    let op = Linear { activation: Activation::Gelu, bias: true, ..Linear::default() };
    check("1 x 1", 1, 1, 1, op.clone());
    check("1 channel", 33, 1, 17, op);
}

#[test]
fn more_rows_than_a_chunk() {
    let op = Linear { activation: Activation::Gelu, bias: true, ..Linear::default() };
    let inputs = vec![
        Input::normal([2500, 9], 1.0, 1),
        Input::normal([31, 9], 0.3, 2),
        Input::normal([31], 1.0, 3),
    ];
    let case = Case::new("2500 rows", op.clone(), inputs);
    case.check_forward(&naive(&op, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn a_weight_of_four_extents_is_a_matrix() {
    let op = Linear { bias: true, ..Linear::default() };
    let inputs = vec![
        Input::normal([3, 12], 1.0, 1),
        Input::normal([5, 3, 2, 2], 0.3, 2),
        Input::normal([5], 1.0, 3),
    ];
    Case::new("patch projection", op.clone(), inputs).check(|inputs| naive(&op, inputs));
}

/// A session without backward pass stores weights packed: the same layer, forward only.
#[test]
fn a_packed_weight() {
    let op = Linear { activation: Activation::Gelu, bias: true, packed: true, ..Linear::default() };
    let straight = Linear { packed: false, ..op.clone() };
    let mut inputs = vec![
        Input::normal([33, 7], 1.0, 1),
        Input::normal([67, 7], 0.3, 2),
        Input::normal([67], 1.0, 3),
    ];
    let want = naive(&straight, &inputs);
    let mut packed = vec![f64::NAN; Panels::<f64>::len(7, 67)];
    Panels::pack(Matrix::new(&inputs[1].real, 67, 7).t(), &mut packed);
    inputs[1].real = packed;
    Case::new("packed", op, inputs).check_forward(&want);
}

#[test]
fn wrong_inputs_are_named() {
    use crformer::op::contract::{Operation, TensorType};
    let op = Linear { bias: true, ..Linear::default() };
    let (inp, weight) = (TensorType::activation([4, 8]), TensorType::activation([3, 7]));
    let bias = TensorType::activation([3]);
    let error = op.signature(&[&inp, &weight, &bias]).expect_err("8 channels against 7 columns");
    assert!(error.to_string().contains("[4, 8], [3, 7], [3]"), "{error}");
    let (weight, norm) = (TensorType::activation([3, 8]), TensorType::activation([7]));
    let normed = Linear { norm: Some(1e-5), ..op.clone() };
    let error = normed.signature(&[&inp, &weight, &norm, &norm, &bias]).expect_err("a norm of 7");
    assert!(error.to_string().contains("norm weight [I]"), "{error}");
    let residual = TensorType::activation([4, 3]);
    for rate in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        let drop = Some(Dropout { rate, per_sample: false });
        let op = Linear { drop, residual: true, ..op.clone() };
        let error = op.signature(&[&inp, &weight, &bias, &residual]);
        let error = error.expect_err("a rate outside [0, 1)");
        assert!(error.to_string().contains(&format!("not {rate}")), "{error}");
    }
    let drop = Some(Dropout { rate: 0.5, per_sample: false });
    let error = Linear { drop, ..op }.signature(&[&inp, &weight, &bias]);
    assert!(error.is_err(), "something dropped without a residual");
}
