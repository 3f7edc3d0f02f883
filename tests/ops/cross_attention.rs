//! Cross-attention of sequences and maps to another sequence, with and without a mask.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::cross_attention::CrossAttention;

use crate::support::attend::{attend, dot};
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
