//! Layer norm, also far from zero and of rows without any spread.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::layer_norm::LayerNorm;

use crate::support::case::{Case, Input};
use crate::support::compare::assert_close;

const OP: LayerNorm = LayerNorm { eps: 1e-5 };

/// `(inp - mean) / sqrt(variance + eps) weight + bias`, the variance from its definition.
fn naive(eps: f64, inputs: &[Input]) -> Vec<f64> {
    let channels = inputs[1].real.len();
    let mut out = Vec::new();
    for row in inputs[0].real.chunks(channels) {
        let mut mean = 0.0;
        for x in row {
            mean += x / channels as f64;
        }
        let mut variance = 0.0;
        for x in row {
            variance += (x - mean).powi(2) / channels as f64;
        }
        for (c, x) in row.iter().enumerate() {
            let normal = (x - mean) / (variance + eps).sqrt();
            out.push(normal * inputs[1].real[c] + inputs[2].real[c]);
        }
    }
    out
}

fn case(name: &str, rows: usize, channels: usize) -> Case<LayerNorm> {
    let inputs = vec![
        Input::normal([rows, channels], 1.3, 1),
        Input::normal([channels], 1.0, 2),
        Input::normal([channels], 1.0, 3),
    ];
    Case::new(name, OP, inputs)
}

#[test]
fn rows_of_any_width() {
    for (rows, channels) in [(5, 7), (1, 37), (9, 16)] {
        case(&format!("{rows} x {channels}"), rows, channels).check(|i| naive(OP.eps, i));
    }
}

/// Rows in registers and longer ones, aligned and not, more rows than a chunk of the sums, more chunks than a
/// group of them.
#[test]
fn on_a_device() {
    for (rows, channels) in [
        (5, 7),
        (1, 37),
        (9, 16),
        (3, 1),
        (70, 132),
        (2, 1031),
        (3, 2304),
        (35, 1028),
        (40, 516),
        (450, 20),
    ] {
        case(&format!("{rows} x {channels}"), rows, channels).check_on_device();
    }
}

/// Two channels are normalised to 1 and -1 whatever they are, so the gradient nearly cancels and
/// in f32 is rounding: everything but that comparison.
#[test]
fn two_channels() {
    let case = case("3 x 2", 3, 2);
    case.check_forward(&naive(OP.eps, &case.inputs));
    case.check_gradient(1e-6);
    case.check_set_and_add();
    case.check_threads();
}

#[test]
fn leading_extents_are_rows() {
    let inputs = vec![
        Input::normal([2, 3, 2, 19], 1.0, 1),
        Input::normal([19], 1.0, 2),
        Input::normal([19], 1.0, 3),
    ];
    Case::new("a map", OP, inputs).check(|i| naive(OP.eps, i));
}

#[test]
fn more_rows_than_a_chunk() {
    let case = case("1300 rows", 1300, 35);
    case.check_forward(&naive(OP.eps, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn sums_of_many_chunks_are_the_sums_of_their_rows() {
    let (rows, channels) = (1300, 35);
    let case = case("1300 rows", rows, channels);
    let (out, kept) = case.forward::<f64>(&case.inputs, true);
    let dout: Vec<f64> = (0..rows * channels).map(|i| ((i * 7919) % 101) as f64 - 50.0).collect();
    let gradients = case.backward::<f64>(&out, &kept, &dout, None);
    let (weight, bias) = (&case.inputs[1].real, &case.inputs[2].real);
    let (mut dweight, mut dbias) = (vec![0.0; channels], vec![0.0; channels]);
    for i in 0..rows * channels {
        let c = i % channels;
        dweight[c] += dout[i] * (out[i] - bias[c]) / weight[c];
        dbias[c] += dout[i];
    }
    assert_close("dweight", gradients[1].as_ref().expect("dweight"), &dweight, 1e-11);
    assert_close("dbias", gradients[2].as_ref().expect("dbias"), &dbias, 1e-12);
}

/// At offset 1e4 the mean is known to about `1e4 epsilon` only, and so is all that follows; a
/// variance from `E[x^2] - E[x]^2` would be off by `1e8 epsilon`, which is more than 1 in f32.
#[test]
fn far_from_zero() {
    let mut near = case("no offset", 6, 133);
    // Multiples of 1/64 keep their distances exactly when 1e4 is added, in f32 too.
    near.inputs[0].real.iter_mut().for_each(|x| *x = (*x * 64.0).round() / 64.0);
    let mut far = case("offset 1e4", 6, 133);
    far.inputs[0].real = near.inputs[0].real.iter().map(|x| x + 1e4).collect();
    let want = naive(OP.eps, &near.inputs);
    let (double, kept) = far.forward::<f64>(&far.inputs, true);
    assert_close("f64", &double, &want, 4e4 * f64::EPSILON);
    let (single, kept_single) = far.forward::<f32>(&far.inputs, true);
    assert_close("f32", &single, &want, 4e4 * f64::from(f32::EPSILON));
    let near_kept = near.forward::<f64>(&near.inputs, true).1;
    let want = near.backward::<f64>(&want, &near_kept, &near.inputs[0].real, None);
    let double = far.backward::<f64>(&double, &kept, &near.inputs[0].real, None);
    let single = far.backward::<f32>(&single, &kept_single, &near.inputs[0].real, None);
    for (i, want) in want.iter().flatten().enumerate() {
        let (double, single) = (double[i].as_ref(), single[i].as_ref());
        let name = format!("gradient {i}");
        assert_close(&name, double.expect("f64"), want, 4e5 * f64::EPSILON);
        assert_close(&name, single.expect("f32"), want, 4e5 * f64::from(f32::EPSILON));
    }
}

/// `eps` decides: the output is the bias, all gradients are finite.
#[test]
fn rows_without_spread() {
    for (value, eps) in [(0.0, 1e-12), (1.0, 1e-12), (-3.5, 1e-5)] {
        let mut case = case("constant rows", 3, 21);
        case.op.eps = eps;
        case.inputs[0].real.fill(value);
        let (out, kept) = case.forward::<f32>(&case.inputs, true);
        let bias = case.inputs[2].real.repeat(3);
        assert_close("the bias", &out, &bias, 1e-6);
        let dout = vec![0.5; out.len()];
        let gradients = case.backward::<f32>(&out, &kept, &dout, None);
        assert!(gradients.iter().flatten().flatten().all(|x| x.is_finite()), "{gradients:?}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    let (inp, weight) = (TensorType::activation([4, 8]), TensorType::activation([7]));
    let error = OP.signature(&[&inp, &weight, &weight]).expect_err("8 channels, 7 weights");
    assert!(error.to_string().contains("[4, 8], [7], [7]"), "{error}");
    assert!(OP.signature(&[&inp, &weight]).is_err(), "no bias");
    let words = TensorType::index([4, 8]);
    let eight = TensorType::activation([8]);
    assert!(OP.signature(&[&words, &eight, &eight]).is_err(), "indices");
}
