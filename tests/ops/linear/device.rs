//! The linear layer on a device, against backward passes that round where kernels do.

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::cuda::precision::Precision;
use crformer::op::linear::Linear;

use super::factors;
use crate::partly::Partly;
use crate::support::case::{Case, Input};
use crate::support::device::rounded;

/// Two samples of so many rows, channels and outputs; the residual, if there is one, is no parameter.
fn case(name: &str, [rows, channels, outputs]: [usize; 3], op: Linear) -> Case<Linear> {
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
    Case::new(name, op, inputs)
}

fn check(sizes: [usize; 3], op: Linear) {
    let case = case(&format!("{op:?}, {sizes:?}"), sizes, op);
    case.check_on_device_against_both(naive_forward, naive_backward);
}

/// Every epilogue, with and without a norm.
#[test]
fn every_epilogue() {
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        for (bias, residual) in [(true, false), (false, false), (true, true), (false, true)] {
            for norm in [None, Some(1e-5)] {
                if residual && activation != Activation::None {
                    continue;
                }
                check([5, 7, 3], Linear { norm, activation, bias, residual, ..Linear::default() });
            }
        }
    }
}

/// Tiles cut at every edge, several steps of the inner loop, aligned rows and others.
#[test]
fn every_shape() {
    for sizes in [[1, 1, 1], [1, 64, 8], [65, 40, 24], [34, 72, 136], [3, 301, 129]] {
        for norm in [None, Some(1e-5)] {
            let op = Linear { norm, activation: Activation::Gelu, bias: true, ..Linear::default() };
            check(sizes, op);
        }
    }
}

/// Rows of which a lane holds all or reads some again, in tiles whose other rows are not there.
#[test]
fn norms_of_long_rows() {
    let op = Linear { norm: Some(1e-5), bias: true, ..Linear::default() };
    for sizes in [[35, 256, 24], [9, 520, 24], [3, 1040, 16], [3, 2100, 16]] {
        check(sizes, op.clone());
    }
}

/// Elements, whose numbers begin no group of four words or do, and samples, of which a tile has several.
#[test]
fn dropout() {
    for per_sample in [false, true] {
        for norm in [None, Some(1e-5)] {
            for sizes in [[5, 7, 3], [40, 24, 20], [70, 72, 136]] {
                let drop = Some(Dropout { rate: 0.3, per_sample });
                check(
                    sizes,
                    Linear { norm, bias: true, residual: true, drop, ..Linear::default() },
                );
            }
        }
    }
}

/// Sums in parts: the weight's gradient over many rows, the output over many channels, the input's gradient over
/// many outputs; so many parts that they are added up in two steps, and in one.
#[test]
fn sums_in_parts() {
    let drop = Some(Dropout { rate: 0.3, per_sample: true });
    let op = Linear { bias: true, residual: true, drop, ..Linear::default() };
    let normed = Linear { norm: Some(1e-5), bias: true, ..Linear::default() };
    for sizes in [[550, 24, 20], [5, 2060, 70], [34, 130, 700]] {
        check(sizes, op.clone());
        check(sizes, normed.clone());
    }
}

/// Every choice of gradients, none among them, of a layer whose launch has blocks of every kind, and of one that
/// has all launches.
#[test]
fn some_gradients() {
    let plain = Linear { bias: true, residual: true, ..Linear::default() };
    let gelu = Activation::Gelu;
    let normed = Linear { norm: Some(1e-5), activation: gelu, bias: true, ..Linear::default() };
    for op in [plain, normed] {
        let whole = case("", [70, 24, 20], op.clone());
        for choice in 0..1 << whole.inputs.len() {
            let wanted = (0..whole.inputs.len()).map(|i| choice >> i & 1 == 1).collect();
            let op = Partly { op: op.clone(), wanted };
            let name = format!("{op:?}");
            let case = Case::new(&name, op, whole.inputs.clone());
            case.check_on_device_against(|case, dout, precision| {
                let (op, inputs) = (case.op.op.clone(), case.inputs.clone());
                naive_backward(&Case::new("", op, inputs), dout, precision)
            });
        }
    }
}

/// Forward by plain loops in f32 whose products read `norm(inp)` in the device's format, as tensor cores do.
pub fn naive_forward(case: &Case<Linear>, precision: Precision) -> Vec<f64> {
    let (op, inputs) = (&case.op, &case.inputs);
    let double = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let n = single(&rounded(&double(&Norm::of(op, inputs).out()), precision));
    let (weight, outputs) = (single(&inputs[1].real), inputs[1].of.shape.extents()[0]);
    let (rows, channels) = (inputs[0].of.shape.rows(), inputs[0].of.shape.channels());
    let factors = factors(op, &inputs[0], rows * outputs);
    let out = (0..rows * outputs).map(|i| {
        let (row, o) = (i / outputs, i % outputs);
        let n = n[row * channels..][..channels].iter();
        let mut sum = n.zip(&weight[o * channels..]).map(|(n, w)| n * w).sum::<f32>();
        if op.bias {
            sum += inputs[if op.norm.is_some() { 4 } else { 2 }].real[o] as f32;
        }
        sum = activated(op.activation, sum) * factors[i] as f32;
        if op.residual {
            sum += inputs[inputs.len() - 1].real[i] as f32;
        }
        f64::from(sum)
    });
    out.collect()
}

/// Backward by plain loops in f32 whose products read `norm(inp)` and `dpre` in the device's format, as tensor
/// cores do, and whose norm goes on from a gradient in that format.
pub fn naive_backward(
    case: &Case<Linear>,
    dout: &[f64],
    precision: Precision,
) -> Vec<Option<Vec<f64>>> {
    let (op, inputs) = (&case.op, &case.inputs);
    let double = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let round = |values: &[f32]| single(&rounded(&double(values), precision));
    let (rows, channels) = (inputs[0].of.shape.rows(), inputs[0].of.shape.channels());
    let outputs = inputs[1].of.shape.extents()[0];
    let (norm, weight) = (Norm::of(op, inputs), single(&inputs[1].real));
    let n = round(&norm.out());
    let bias = match op.bias {
        true => single(&inputs[if op.norm.is_some() { 4 } else { 2 }].real),
        false => vec![0.0; outputs],
    };
    let factors = factors(op, &inputs[0], rows * outputs);
    let (mut dn, mut dweight) = (vec![0.0; rows * channels], vec![0.0; outputs * channels]);
    let mut dbias = vec![0.0; outputs];
    for (i, (&dout, factor)) in dout.iter().zip(factors).enumerate() {
        let (row, o) = (i / outputs, i % outputs);
        let (n, weight) = (&n[row * channels..][..channels], &weight[o * channels..][..channels]);
        let mut pre = bias[o];
        for c in 0..channels {
            pre += n[c] * weight[c];
        }
        let dpre = dout as f32 * factor as f32 * derivative(op.activation, round(&[pre])[0]);
        dbias[o] += dpre;
        let dpre = round(&[dpre])[0];
        for c in 0..channels {
            dn[row * channels + c] += dpre * weight[c];
            dweight[o * channels + c] += dpre * n[c];
        }
    }
    let [dinp, of_norm @ ..] = norm.backward(&round(&dn), &dn);
    let mut gradients = vec![dinp, dweight];
    gradients.extend(of_norm.into_iter().filter(|_| op.norm.is_some()));
    gradients.extend(op.bias.then_some(dbias));
    let mut gradients: Vec<_> = gradients.iter().map(|g| Some(double(g))).collect();
    gradients.extend(op.residual.then(|| Some(dout.to_vec())));
    gradients
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

pub fn activated(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::Gelu => 0.5 * x * (1.0 + libm::erff(x / 2f32.sqrt())),
    }
}

pub fn derivative(activation: Activation, x: f32) -> f32 {
    match activation {
        Activation::None => 1.0,
        Activation::Relu => f32::from(u8::from(x > 0.0)),
        Activation::Gelu => {
            let density = (-0.5 * x * x).exp() / (2.0 * std::f32::consts::PI).sqrt();
            0.5 * (1.0 + libm::erff(x / 2f32.sqrt())) + x * density
        }
    }
}

/// A layer's norm in f32, if it has one: its input as deviations from each row's mean in units of the deviation.
struct Norm {
    channels: usize,
    inp: Vec<f32>,
    /// Nothing without a norm: weight, bias, and each row's rstd.
    of: Option<[Vec<f32>; 3]>,
}

impl Norm {
    fn of(op: &Linear, inputs: &[Input]) -> Self {
        let (mut inp, channels) = (single(&inputs[0].real), inputs[0].of.shape.channels());
        let Some(eps) = op.norm else { return Self { channels, inp, of: None } };
        let mut of_rows = Vec::new();
        for row in inp.chunks_mut(channels) {
            let mean = row.iter().sum::<f32>() / channels as f32;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / channels as f32;
            let rstd = 1.0 / (variance + eps as f32).sqrt();
            row.iter_mut().for_each(|x| *x = (*x - mean) * rstd);
            of_rows.push(rstd);
        }
        let of = Some([single(&inputs[2].real), single(&inputs[3].real), of_rows]);
        Self { channels, inp, of }
    }

    fn out(&self) -> Vec<f32> {
        let Some([weight, bias, _]) = &self.of else { return self.inp.clone() };
        let of = |(i, x): (usize, &f32)| x * weight[i % self.channels] + bias[i % self.channels];
        self.inp.iter().enumerate().map(of).collect()
    }

    /// Gradients of input, weight and bias; without a norm `exact` is the input's.
    fn backward(&self, dout: &[f32], exact: &[f32]) -> [Vec<f32>; 3] {
        let Some([weight, _, rstd]) = &self.of else { return [exact.to_vec(), vec![], vec![]] };
        let channels = self.channels;
        let mut dinp = Vec::new();
        let (mut dweight, mut dbias) = (vec![0.0; channels], vec![0.0; channels]);
        for (row, n) in self.inp.chunks(channels).enumerate() {
            let dout = &dout[row * channels..][..channels];
            let g: Vec<f32> = dout.iter().zip(weight).map(|(d, w)| d * w).collect();
            let mean_g = g.iter().sum::<f32>() / channels as f32;
            let mean_gn = g.iter().zip(n).map(|(g, n)| g * n).sum::<f32>() / channels as f32;
            dinp.extend(g.iter().zip(n).map(|(g, n)| rstd[row] * (g - mean_g - n * mean_gn)));
            for c in 0..channels {
                dweight[c] += dout[c] * n[c];
                dbias[c] += dout[c];
            }
        }
        [dinp, dweight, dbias]
    }
}
