//! Cross-attention of sequences and maps to another sequence, with and without a mask.

use crformer::cuda::precision::Precision;
use crformer::op::contract::{Operation, TensorType};
use crformer::op::cross_attention::CrossAttention;

use crate::support::attend::{Attention, attend, columns, dot};
use crate::support::case::{Case, Input};

/// One query, one head at a time.
fn naive(op: &CrossAttention, inputs: &[Input]) -> Vec<f64> {
    let (shape, keys) = (&inputs[0].of.shape, inputs[1].of.shape.extents()[1]);
    let (batch, channels) = (shape.extents()[0], shape.channels());
    let (queries, head_dim) = (shape.rows() / batch, channels / op.heads);
    let mut out = Vec::new();
    for image in 0..batch {
        for query in 0..queries {
            for head in 0..op.heads {
                let start = (image * queries + query) * channels + head * head_dim;
                let q = &inputs[0].real[start..start + head_dim];
                let part = |key: usize, which: usize| {
                    let start = ((image * keys + key) * 2 + which) * channels + head * head_dim;
                    &inputs[1].real[start..start + head_dim]
                };
                let score = |key: usize| {
                    if op.masked && inputs[2].index[image * keys + key] == 0 {
                        return f64::NEG_INFINITY;
                    }
                    dot(q, part(key, 0)) / (head_dim as f64).sqrt()
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let values: Vec<&[f64]> = (0..keys).map(|key| part(key, 1)).collect();
                out.extend(attend(&scores, &values));
            }
        }
    }
    out
}

/// Extents of a case: `[batch, queries, keys, heads, head_dim]`.
fn case(extents: [usize; 5], mask: Option<&[i32]>) -> Case<CrossAttention> {
    let [batch, queries, keys, heads, head_dim] = extents;
    let mut inputs = vec![
        Input::normal([batch, queries, heads * head_dim], 1.0, 1),
        Input::normal([batch, keys, 2 * heads * head_dim], 1.0, 2),
    ];
    if let Some(mask) = mask {
        inputs.push(Input::index([batch, keys], mask.to_vec()));
    }
    let op = CrossAttention { heads, masked: mask.is_some() };
    Case::new(&format!("{extents:?}, mask {mask:?}"), op, inputs)
}

fn check(extents: [usize; 5], mask: Option<&[i32]>) {
    let case = case(extents, mask);
    case.check(|inputs| naive(&case.op, inputs));
}

/// Everything but central differences, which cost too much at this size.
fn check_large(extents: [usize; 5], mask: Option<&[i32]>) {
    let case = case(extents, mask);
    case.check_forward(&naive(&case.op, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn sizes_that_are_multiples_of_nothing() {
    check([2, 7, 5, 3, 5], None);
    check([1, 3, 21, 2, 3], None);
}

#[test]
fn one_query_one_key() {
    check([1, 1, 1, 1, 1], None);
    check([2, 6, 1, 2, 3], None);
    check([2, 1, 6, 2, 3], None);
}

#[test]
fn masked_words() {
    check([2, 3, 4, 2, 3], Some(&[1, 0, 1, 1, 0, 1, 0, 0]));
    check([2, 4, 3, 1, 4], Some(&[0, 1, 0, 0, 0, 1]));
}

#[test]
fn a_word_more_does_not_matter_if_masked() {
    let long = case([1, 3, 4, 1, 5], Some(&[1, 1, 1, 0]));
    let mut short = long.inputs.clone();
    short[1] = Input::real([1, 3, 10], long.inputs[1].real[..30].to_vec());
    let bare = CrossAttention { heads: 1, masked: false };
    long.check_forward(&naive(&bare, &short));
}

#[test]
fn many_queries_few_keys() {
    check_large([1, 1100, 20, 1, 33], Some(&[vec![1; 13], vec![0; 7]].concat()));
    check_large([2, 130, 24, 2, 64], None);
}

#[test]
fn many_keys() {
    check_large([1, 5, 333, 2, 8], None);
}

#[test]
fn a_map_is_a_sequence() {
    let inputs = vec![Input::normal([2, 3, 2, 6], 1.0, 1), Input::normal([2, 4, 12], 1.0, 2)];
    let case = Case::new("3 x 2 map", CrossAttention { heads: 2, masked: false }, inputs);
    case.check(|inputs| naive(&case.op, inputs));
    assert_eq!(case.signature().out.shape.extents(), [2, 3, 2, 6]);
}

#[test]
fn scores_of_ten_thousand() {
    let mut case = case([2, 5, 6, 2, 4], None);
    case.inputs.iter_mut().for_each(|i| i.real.iter_mut().for_each(|x| *x *= 100.0));
    case.check_forward(&naive(&case.op, &case.inputs));
    let (out, kept) = case.forward::<f32>(&case.inputs, true);
    let gradients = case.backward::<f32>(&out, &kept, &vec![1.0; out.len()], None);
    let written = gradients.into_iter().flatten().flatten();
    assert!(out.into_iter().chain(written).all(f64::is_finite));
}

/// Backward by plain loops that round where kernels do.
fn naive_backward(
    case: &Case<CrossAttention>,
    dout: &[f64],
    precision: Precision,
) -> Vec<Option<Vec<f64>>> {
    let (shape, heads) = (&case.inputs[0].of.shape, case.op.heads);
    let channels = shape.channels();
    let part = |i: usize| columns(&case.inputs[1].real, 2 * channels, i * channels, channels);
    let attention = Attention {
        batch: shape.extents()[0],
        heads,
        head_dim: channels / heads,
        scale: 1.0 / ((channels / heads) as f64).sqrt(),
        mask: case.op.masked.then(|| &case.inputs[2].index[..]),
        q: columns(&case.inputs[0].real, channels, 0, channels),
        k: part(0),
        v: part(1),
    };
    let [dq, dk, dv] = attention.backward(dout, precision);
    let rows = dk.chunks(channels).zip(dv.chunks(channels));
    let mut gradients = vec![Some(dq), Some(rows.flat_map(|(k, v)| [k, v].concat()).collect())];
    gradients.extend(case.op.masked.then_some(None));
    gradients
}

fn check_on_device(extents: [usize; 5], mask: Option<&[i32]>) {
    case(extents, mask).check_on_device_against(naive_backward);
}

/// One tile of keys: heads of one line and of several, one part of the queries and several.
#[test]
fn few_keys_on_a_device() {
    for extents in [
        [2, 7, 5, 3, 5],
        [1, 1, 1, 1, 1],
        [2, 6, 1, 2, 8],
        [2, 1, 6, 2, 3],
        [1, 130, 24, 2, 64],
        [1, 65, 20, 1, 256],
        [2, 70, 3, 1, 67],
        [1, 1030, 4, 1, 16],
        [1, 1090, 2, 1, 68],
    ] {
        check_on_device(extents, None);
    }
    check_on_device([2, 3, 4, 2, 3], Some(&[1, 0, 1, 1, 0, 1, 0, 0]));
    check_on_device([2, 66, 3, 1, 4], Some(&[0, 1, 0, 0, 0, 1]));
    check_on_device([2, 66, 3, 1, 136], Some(&[0, 0, 0, 1, 0, 1]));
}

/// Several tiles of keys, in heads narrow and wide.
#[test]
fn many_keys_on_a_device() {
    for extents in [[1, 5, 133, 2, 8], [1, 140, 40, 1, 64], [2, 3, 33, 1, 130], [1, 70, 65, 1, 24]]
    {
        check_on_device(extents, None);
    }
    let words: Vec<i32> = (0..140).map(|i| i32::from(i < 45 || (i > 70 && i % 3 == 0))).collect();
    check_on_device([2, 20, 70, 2, 24], Some(&words));
    check_on_device([2, 20, 70, 1, 65], Some(&words));
}

/// As wide as a head of the model can be.
#[test]
fn a_wide_head_on_a_device() {
    let words = [vec![1; 9], vec![0; 11]].concat();
    check_on_device([1, 66, 20, 1, 1024], Some(&words));
}

#[test]
fn a_map_on_a_device() {
    let inputs = vec![Input::normal([2, 3, 2, 16], 1.0, 1), Input::normal([2, 4, 32], 1.0, 2)];
    let case = Case::new("3 x 2 map", CrossAttention { heads: 2, masked: false }, inputs);
    case.check_on_device_against(naive_backward);
}

/// Every key is there twice, so that its probability is not 1.
#[test]
fn scores_of_ten_thousand_on_a_device() {
    for keys in [6, 36] {
        let mut case = case([2, 5, keys, 2, 4], None);
        for i in 0..2 * keys * 16 {
            if i % 16 < 8 && i / 16 % 2 == 1 {
                case.inputs[1].real[i] = case.inputs[1].real[i - 16];
            }
        }
        case.inputs.iter_mut().for_each(|i| i.real.iter_mut().for_each(|x| *x *= 100.0));
        case.check_on_device_against(naive_backward);
    }
}

#[test]
fn wrong_inputs_are_named() {
    let op = |heads, masked| CrossAttention { heads, masked };
    let (q, key_value) = (TensorType::activation([2, 5, 6]), TensorType::activation([2, 3, 12]));
    let refused = |op: CrossAttention, inputs: &[&TensorType], found: &str| {
        let error = op.signature(inputs).expect_err("wrong inputs");
        assert!(error.to_string().contains(found), "{error}");
    };
    refused(op(4, false), &[&q, &key_value], "[2, 5, 6]");
    refused(op(2, true), &[&q, &key_value], "mask [B, M]");
    refused(op(2, false), &[&q, &TensorType::activation([1, 3, 12])], "[1, 3, 12]");
    refused(op(2, false), &[&q, &TensorType::activation([2, 3, 6])], "[2, 3, 6]");
    refused(op(2, true), &[&q, &key_value, &TensorType::index([2, 5])], "index [2, 5]");
}
