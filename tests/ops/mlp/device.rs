//! The two layers on a device, against naive passes that round where kernels do: what is hidden and the gradient of what
//! the activation gets are in the session's precision wherever a product or a sum reads them.

use std::process::Command;

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::cuda::precision::Precision;
use crformer::op::linear::Linear;
use crformer::op::mlp::{Mlp, Residual};

use super::{inputs, layers, of_second, plain};
use crate::linear::device::{
    activated, derivative, naive_backward as backward_of, naive_forward as forward_of,
};
use crate::partly::Partly;
use crate::support::case::Case;
use crate::support::device::rounded;

fn case(rows: usize, sizes: [usize; 3], op: Mlp) -> Case<Mlp> {
    Case::new(&format!("{op:?}, 2 x {rows} rows, {sizes:?}"), op.clone(), inputs(&op, rows, sizes))
}

/// With what is hidden kept and made again.
fn check(rows: usize, sizes: [usize; 3], op: Mlp) {
    for keep_hidden in [true, false] {
        let case = case(rows, sizes, Mlp { keep_hidden, ..op.clone() });
        case.check_on_device_onto(naive_forward, naive_backward);
    }
}

fn naive_forward(case: &Case<Mlp>, precision: Precision) -> Vec<f64> {
    let (first, of_first, second) = layers(&case.op, &case.inputs);
    let hidden = forward_of(&Case::new("", first, of_first), precision);
    let of_second = of_second(&case.op, &case.inputs, rounded(&hidden, precision));
    forward_of(&Case::new("", second, of_second), precision)
}

/// The gradient of a residual that `inp` is stands there, rounded, when the layers' is added.
fn naive_backward(
    case: &Case<Mlp>,
    dout: &[f64],
    precision: Precision,
    base: f64,
) -> Vec<Option<Vec<f64>>> {
    let activation = case.op.activation;
    let (first, of_first, second) = layers(&case.op, &case.inputs);
    let first = Linear { activation: Activation::None, ..first };
    let first = Case::new("", first, of_first);
    let pre = rounded(&forward_of(&first, precision), precision);
    let hidden = pre.iter().map(|&x| f64::from(activated(activation, x as f32)));
    let hidden = rounded(&hidden.collect::<Vec<f64>>(), precision);
    let second = Case::new("", second, of_second(&case.op, &case.inputs, hidden));
    let mut of_second = backward_of(&second, dout, precision).into_iter();
    let mut next = || of_second.next().flatten().expect("a gradient");
    let (dhidden, of_second) = (next(), [next(), next()]);
    let dpre =
        dhidden.iter().zip(&pre).map(|(d, &x)| d * f64::from(derivative(activation, x as f32)));
    let dpre = rounded(&dpre.collect::<Vec<f64>>(), precision);
    let mut of_first = backward_of(&first, &dpre, precision);
    let dbias = of_first.pop();
    if let (Residual::Inp, Some(dinp)) = (case.op.residual, &mut of_first[0]) {
        let there = dout.iter().map(|dout| base + dout).collect::<Vec<f64>>();
        let there = rounded(&there, precision);
        dinp.iter_mut().zip(there).for_each(|(dinp, there)| *dinp += there - base);
    }
    let of_norm = of_first.split_off(2);
    let of_layers = of_first.into_iter().chain(dbias).chain(of_second.map(Some));
    let residual = (case.op.residual == Residual::Other).then(|| Some(dout.to_vec()));
    of_layers.chain(of_norm).chain(residual).collect()
}

#[test]
fn every_variant() {
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        for norm in [None, Some(1e-5)] {
            for residual in [Residual::None, Residual::Other, Residual::Inp] {
                let op = Mlp { norm, activation, residual, ..plain() };
                let outputs = if residual == Residual::Inp { 7 } else { 3 };
                check(5, [7, 9, outputs], op);
            }
        }
    }
}

/// Elements, whose numbers begin no group of four words or do, and samples, of which a tile has several.
#[test]
fn dropout() {
    for per_sample in [false, true] {
        for (norm, residual) in [(None, Residual::Inp), (Some(1e-5), Residual::Other)] {
            for (rows, sizes) in [(5, [7, 9, 7]), (40, [24, 40, 24])] {
                let drop = Some(Dropout { rate: 0.3, per_sample });
                check(rows, sizes, Mlp { norm, residual, drop, ..plain() });
            }
        }
    }
}

/// Tiles cut at every edge, several steps of the inner loops, aligned rows and others.
#[test]
fn every_shape() {
    for (rows, sizes) in [
        (1, [1, 1, 1]),
        (1, [64, 40, 8]),
        (65, [40, 136, 24]),
        (34, [72, 301, 129]),
        (3, [301, 72, 17]),
    ] {
        let activation = Activation::Gelu;
        check(rows, sizes, Mlp { norm: Some(1e-5), activation, ..plain() });
    }
}

/// Swin's widths: the residual is what the norm is made of.
#[test]
fn widths_of_swin() {
    let (activation, drop) = (Activation::Gelu, Some(Dropout { rate: 0.3, per_sample: true }));
    let (norm, residual) = (Some(1e-5), Residual::Inp);
    for (rows, channels) in [(40, 128), (17, 256)] {
        let op = Mlp { norm, residual, activation, drop, ..plain() };
        check(rows, [channels, 4 * channels, channels], op);
    }
}

/// A card for graphics has too little shared memory for the wider kernel. The PTX machine is told what it stands in for
/// before anything else: another process.
#[test]
fn on_a_device_with_less_shared_memory() {
    let mut tests = Command::new(std::env::current_exe().expect("a program"));
    tests.args(["--exact", "mlp::device::widths_of_swin"]).env("PTX_VM_TARGET", "sm_89");
    let output = tests.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Sums in parts: many rows for the weights' gradients, much that is hidden for the output.
#[test]
fn sums_in_parts() {
    let drop = Some(Dropout { rate: 0.3, per_sample: false });
    let op = Mlp { residual: Residual::Other, drop, ..plain() };
    for (rows, sizes) in [(550, [24, 20, 24]), (5, [70, 1030, 20])] {
        check(rows, sizes, op.clone());
        check(rows, sizes, Mlp { norm: Some(1e-5), activation: Activation::Gelu, ..op.clone() });
    }
}

fn inner(case: &Case<Partly<Mlp>>) -> Case<Mlp> {
    Case::new("", case.op.op.clone(), case.inputs.clone())
}

/// Each gradient alone, all but one, and none.
#[test]
fn some_gradients() {
    for residual in [Residual::Inp, Residual::Other] {
        let (norm, activation) = (Some(1e-5), Activation::Gelu);
        let whole = case(35, [24, 40, 24], Mlp { norm, activation, residual, ..plain() });
        let count = whole.inputs.len();
        let choices = (0..count).flat_map(|one| [1 << one, !(1 << one)]).chain([0]);
        for choice in choices {
            let wanted = (0..count).map(|i| choice >> i & 1 == 1).collect();
            let op = Partly { op: whole.op.clone(), wanted };
            let name = format!("{op:?}");
            Case::new(&name, op, whole.inputs.clone()).check_on_device_onto(
                |case, precision| naive_forward(&inner(case), precision),
                |case, dout, precision, base| naive_backward(&inner(case), dout, precision, base),
            );
        }
    }
}
