//! Two linear layers as one operation, against the naive versions of both one after the other.

mod device;

use crformer::cpu::activation::Activation;
use crformer::cpu::dropout::Dropout;
use crformer::cpu::product::{Matrix, Panels};
use crformer::op::contract::TensorType;
use crformer::op::linear::Linear;
use crformer::op::mlp::{Mlp, Residual};

use super::linear;
use crate::support::case::{Case, Input};

/// What keeps what is hidden, of ReLU and without anything around it.
fn plain() -> Mlp {
    Mlp {
        norm: None,
        activation: Activation::Relu,
        residual: Residual::None,
        drop: None,
        keep_hidden: true,
        packed: false,
    }
}

/// Two samples of so many rows.
fn inputs(op: &Mlp, rows: usize, [channels, hidden, outputs]: [usize; 3]) -> Vec<Input> {
    let mut inputs = vec![
        Input::normal([2, rows, channels], 1.0, 1),
        Input::normal([hidden, channels], 0.3, 2),
        Input::normal([hidden], 1.0, 3),
        Input::normal([outputs, hidden], 0.3, 4),
        Input::normal([outputs], 1.0, 5),
    ];
    if op.norm.is_some() {
        inputs.extend([Input::normal([channels], 1.0, 6), Input::normal([channels], 1.0, 7)]);
    }
    if op.residual == Residual::Other {
        inputs.push(Input::normal([2, rows, outputs], 1.0, 8));
    }
    inputs
}

/// Both layers by themselves, and the inputs of the first.
fn layers(op: &Mlp, inputs: &[Input]) -> (Linear, Vec<Input>, Linear) {
    let &Mlp { norm, activation, residual, drop, .. } = op;
    let residual = residual != Residual::None;
    let first = Linear { norm, activation, bias: true, ..Linear::default() };
    let second = Linear { bias: true, residual, drop, ..Linear::default() };
    let of_norm = if op.norm.is_some() { &inputs[5..7] } else { &[] };
    let of_first = [&inputs[..2], of_norm, &inputs[2..3]].concat();
    (first, of_first, second)
}

/// The second layer's inputs, given the first one's output.
fn of_second(op: &Mlp, inputs: &[Input], hidden: Vec<f64>) -> Vec<Input> {
    let (of, index) = (inputs[0].of.shape.with_channels(inputs[1].of.shape.extents()[0]), vec![]);
    let hidden = Input { of: TensorType::activation(of), real: hidden, index };
    let residual = match op.residual {
        Residual::None => None,
        Residual::Inp => inputs.first(),
        Residual::Other => inputs.last(),
    };
    [hidden].into_iter().chain(inputs[3..5].iter().chain(residual).cloned()).collect()
}

fn naive(op: &Mlp, inputs: &[Input]) -> Vec<f64> {
    let (first, of_first, second) = layers(op, inputs);
    let hidden = linear::naive(&first, &of_first);
    linear::naive(&second, &of_second(op, inputs, hidden))
}

/// All checks with what is hidden kept and made again, which gives the same bits.
fn check(rows: usize, sizes: [usize; 3], op: Mlp) {
    let of_both = [true, false].map(|keep_hidden| {
        let op = Mlp { keep_hidden, ..op.clone() };
        let name = format!("{op:?}, 2 x {rows} rows, {sizes:?}");
        let case = Case::new(&name, op.clone(), inputs(&op, rows, sizes));
        case.check(|inputs| naive(&op, inputs));
        bits(&case)
    });
    assert!(of_both[0] == of_both[1], "{op:?}: other bits with what is made again");
}

/// The bits of output and gradients.
fn bits(case: &Case<Mlp>) -> Vec<u64> {
    let (out, kept) = case.forward::<f64>(&case.inputs, true);
    let dout = crate::support::case::cotangent(out.len());
    let gradients = case.backward::<f64>(&out, &kept, &dout, None);
    out.into_iter().chain(gradients.into_iter().flatten().flatten()).map(f64::to_bits).collect()
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

#[test]
fn dropout_before_the_residual() {
    for (norm, residual) in [(None, Residual::Inp), (Some(1e-5), Residual::Other)] {
        for per_sample in [false, true] {
            for rate in [0.0, 0.3, 0.9] {
                let drop = Some(Dropout { rate, per_sample });
                let op = Mlp { norm, residual, drop, activation: Activation::Gelu, ..plain() };
                check(5, [4, 9, 4], op);
            }
        }
    }
}

#[test]
fn one_row_one_channel() {
    let op = Mlp { activation: Activation::Gelu, ..plain() };
    check(1, [1, 1, 1], op.clone());
    check(33, [1, 5, 2], op);
}

/// More rows than a chunk, and of more numbers than one: what the norm makes does not fit into the output.
#[test]
fn many_rows() {
    for (outputs, norm) in [(31, None), (5, Some(1e-5))] {
        let op = Mlp { activation: Activation::Gelu, norm, ..plain() };
        let case = Case::new("2500 rows", op.clone(), inputs(&op, 1250, [9, 40, outputs]));
        case.check_forward(&naive(&op, &case.inputs));
        case.check_set_and_add();
        case.check_threads();
        case.check_f32();
    }
}

/// A session without backward pass stores both weights packed: the same numbers, forward only.
#[test]
fn packed_weights() {
    let norm = Some(1e-5);
    let op = Mlp { norm, residual: Residual::Inp, packed: true, ..plain() };
    let mut inputs = inputs(&op, 33, [7, 67, 7]);
    let want = naive(&op, &inputs);
    for (i, [rows, columns]) in [(1, [67, 7]), (3, [7, 67])] {
        let mut packed = vec![f64::NAN; Panels::<f64>::len(columns, rows)];
        Panels::pack(Matrix::new(&inputs[i].real, rows, columns).t(), &mut packed);
        inputs[i].real = packed;
    }
    Case::new("packed", op, inputs).check_forward(&want);
}

/// What is kept: statistics of the norm, and what is hidden if it is to be.
#[test]
fn what_is_kept() {
    for (norm, keep_hidden, want) in
        [(None, false, 0), (None, true, 1), (Some(1e-5), false, 2), (Some(1e-5), true, 3)]
    {
        let op = Mlp { norm, keep_hidden, ..plain() };
        let signature = Case::new("kept", op.clone(), inputs(&op, 3, [4, 9, 5])).signature();
        let kept: Vec<&[usize]> = signature.kept.iter().map(|of| of.shape.extents()).collect();
        assert_eq!(kept.len(), want);
        assert_eq!(kept.last() == Some(&&[2, 3, 9][..]), keep_hidden, "{kept:?}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    use crformer::op::contract::Operation;
    use crformer::shape::Shape;
    let of = |extents: &[&[usize]]| -> Vec<TensorType> {
        extents.iter().map(|extents| TensorType::activation(Shape::new(*extents))).collect()
    };
    let refused = |op: &Mlp, extents: &[&[usize]]| {
        let types = of(extents);
        let error = op.signature(&types.iter().collect::<Vec<_>>());
        error.expect_err("inputs that do not fit").to_string()
    };
    let error = refused(&plain(), &[&[4, 8], &[3, 7], &[3], &[5, 3], &[5]]);
    assert!(error.contains("[4, 8], [3, 7], [3], [5, 3], [5]"), "{error}");
    assert!(error.contains("weight1 [H, I]"), "{error}");
    let error = refused(&plain(), &[&[4, 8], &[3, 8], &[3], &[5, 4], &[5]]);
    assert!(error.contains("weight2 [O, H]"), "{error}");
    let error = refused(&plain(), &[&[4, 8], &[3, 8], &[3], &[5, 3], &[3]]);
    assert!(error.contains("bias2 [O]"), "{error}");
    let normed = Mlp { norm: Some(1e-5), ..plain() };
    let error = refused(&normed, &[&[4, 8], &[3, 8], &[3], &[5, 3], &[5], &[8], &[7]]);
    assert!(error.contains("norm weight [I]"), "{error}");
    let onto_itself = Mlp { residual: Residual::Inp, ..plain() };
    let error = refused(&onto_itself, &[&[4, 8], &[3, 8], &[3], &[5, 3], &[5]]);
    assert!(error.contains("the output's shape"), "{error}");
    let fitting: [&[usize]; 5] = [&[4, 8], &[3, 8], &[3], &[8, 3], &[8]];
    for rate in [1.0, -0.1, f64::NAN, f64::INFINITY] {
        let drop = Some(Dropout { rate, per_sample: false });
        let error = refused(&Mlp { drop, ..onto_itself.clone() }, &fitting);
        assert!(error.contains(&format!("not {rate}")), "{error}");
    }
    let drop = Some(Dropout { rate: 0.5, per_sample: false });
    let error = refused(&Mlp { drop, ..plain() }, &fitting);
    assert!(error.contains("where something is dropped"), "{error}");
}
