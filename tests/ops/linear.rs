//! The linear layer with every epilogue.

use crformer::cpu::activation::Activation;
use crformer::cpu::product::{Matrix, Panels};
use crformer::cuda::precision::Precision;
use crformer::op::linear::Linear;

use crate::support::case::{Case, Input};
use crate::support::device::rounded;

/// `activation(inp weight^T + bias) + residual`, one element at a time.
fn naive(op: &Linear, inputs: &[Input]) -> Vec<f64> {
    let (inp, weight) = (&inputs[0], &inputs[1]);
    let (rows, channels) = (inp.of.shape.rows(), inp.of.shape.channels());
    let outputs = weight.of.shape.extents()[0];
    let mut out = Vec::new();
    for row in 0..rows {
        for o in 0..outputs {
            let mut sum = 0.0;
            for c in 0..channels {
                sum += inp.real[row * channels + c] * weight.real[o * channels + c];
            }
            if op.bias {
                sum += inputs[2].real[o];
            }
            sum = match op.activation {
                Activation::None => sum,
                Activation::Relu => sum.max(0.0),
                Activation::Gelu => 0.5 * sum * (1.0 + libm::erf(sum / 2f64.sqrt())),
            };
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
            let op = Linear { activation, bias, residual, packed: false };
            check(&format!("{op:?}"), 5, 7, 3, op);
        }
    }
}

/// Every epilogue; tiles cut at every edge, several steps of the inner loop, aligned rows and others.
#[test]
fn on_a_device() {
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        for (bias, residual) in [(true, false), (false, false), (true, true), (false, true)] {
            if residual && activation != Activation::None {
                continue;
            }
            let op = Linear { activation, bias, residual, packed: false };
            let case = device_case(&format!("{op:?}"), [5, 7, 3], op);
            case.check_on_device_against(naive_backward);
        }
    }
    let op = Linear { activation: Activation::Gelu, bias: true, residual: false, packed: false };
    for sizes in [[1, 1, 1], [1, 64, 8], [130, 40, 24], [67, 72, 136], [3, 301, 129]] {
        let case = device_case(&format!("{sizes:?}"), sizes, op.clone());
        case.check_on_device_against(naive_backward);
    }
}

/// The weight's gradient as a sum of parts of the rows.
#[test]
fn more_rows_than_a_part_on_a_device() {
    let op = Linear { activation: Activation::None, bias: true, residual: true, packed: false };
    let case = device_case("1100 rows", [1100, 24, 20], op);
    case.check_on_device_against(naive_backward);
}

/// Backward by plain loops in f32 whose products read `dpre` in the device's format, as tensor cores do.
fn naive_backward(
    case: &Case<Linear>,
    dout: &[f64],
    precision: Precision,
) -> Vec<Option<Vec<f64>>> {
    let single = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
    let double = |values: Vec<f32>| Some(values.into_iter().map(f64::from).collect::<Vec<f64>>());
    let (inp, weight) = (single(&case.inputs[0].real), single(&case.inputs[1].real));
    let (rows, channels) = (case.inputs[0].of.shape.rows(), case.inputs[0].of.shape.channels());
    let outputs = case.inputs[1].of.shape.extents()[0];
    let bias = if case.op.bias { single(&case.inputs[2].real) } else { vec![0.0; outputs] };
    let (mut dinp, mut dweight) = (vec![0.0; rows * channels], vec![0.0; outputs * channels]);
    let mut dbias = vec![0.0; outputs];
    for (i, &dout) in dout.iter().enumerate() {
        let (row, o) = (i / outputs, i % outputs);
        let (inp, weight) =
            (&inp[row * channels..][..channels], &weight[o * channels..][..channels]);
        let mut pre = 0.0;
        for c in 0..channels {
            pre += inp[c] * weight[c];
        }
        let pre = rounded(&[f64::from(pre + bias[o])], precision)[0] as f32;
        let dpre = dout as f32 * derivative(case.op.activation, pre);
        dbias[o] += dpre;
        let dpre = rounded(&[f64::from(dpre)], precision)[0] as f32;
        for c in 0..channels {
            dinp[row * channels + c] += dpre * weight[c];
            dweight[o * channels + c] += dpre * inp[c];
        }
    }
    let mut gradients = vec![double(dinp), double(dweight)];
    gradients.extend(case.op.bias.then(|| double(dbias)));
    gradients.extend(case.op.residual.then(|| Some(dout.to_vec())));
    gradients
}

fn derivative(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => 1.0,
        Activation::Relu => f32::from(u8::from(x > 0.0)),
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f32::consts::PI).sqrt();
            0.5 * (1.0 + libm::erff(x / 2f32.sqrt())) + x * density
        }
    }
}

/// Rows, channels, outputs; the residual, if there is one, is no parameter.
fn device_case(name: &str, [rows, channels, outputs]: [usize; 3], op: Linear) -> Case<Linear> {
    let mut inputs =
        vec![Input::normal([rows, channels], 1.0, 1), Input::normal([outputs, channels], 0.3, 2)];
    if op.bias {
        inputs.push(Input::normal([outputs], 1.0, 3));
    }
    if op.residual {
        inputs.push(Input::normal([rows, outputs], 1.0, 4));
    }
    Case::new(name, op, inputs)
}

#[test]
fn one_row_one_channel() {
    let op = Linear { activation: Activation::Gelu, bias: true, residual: false, packed: false };
    check("1 x 1", 1, 1, 1, op.clone());
    check("1 channel", 33, 1, 17, op);
}

#[test]
fn more_rows_than_a_chunk() {
    let op = Linear { activation: Activation::Gelu, bias: true, residual: false, packed: false };
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
    let op = Linear { activation: Activation::None, bias: true, residual: false, packed: false };
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
    let op = Linear { activation: Activation::Gelu, bias: true, residual: false, packed: true };
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
    let op = Linear { activation: Activation::None, bias: true, residual: false, packed: false };
    let (inp, weight) = (TensorType::activation([4, 8]), TensorType::activation([3, 7]));
    let bias = TensorType::activation([3]);
    let error = op.signature(&[&inp, &weight, &bias]).expect_err("8 channels against 7 columns");
    assert!(error.to_string().contains("[4, 8], [3, 7], [3]"), "{error}");
}
