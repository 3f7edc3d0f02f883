//! Self-attention over sequences and maps, with and without a mask.

use crformer::cuda::precision::Precision;
use crformer::op::contract::{Operation, TensorType};
use crformer::op::self_attention::SelfAttention;

use crate::support::attend::{Attention, attend, columns, dot};
use crate::support::case::{Case, Input};

/// One query, one head at a time.
fn naive(op: &SelfAttention, inputs: &[Input]) -> Vec<f64> {
    let shape = &inputs[0].of.shape;
    let (batch, channels) = (shape.extents()[0], shape.channels() / 3);
    let (tokens, head_dim) = (shape.rows() / batch, channels / op.heads);
    let part = |image: usize, token: usize, which: usize, head: usize| {
        let start = ((image * tokens + token) * 3 + which) * channels + head * head_dim;
        &inputs[0].real[start..start + head_dim]
    };
    let mut out = Vec::new();
    for image in 0..batch {
        for query in 0..tokens {
            for head in 0..op.heads {
                let q = part(image, query, 0, head);
                let score = |key: usize| {
                    if op.masked && inputs[1].index[image * tokens + key] == 0 {
                        return f64::NEG_INFINITY;
                    }
                    dot(q, part(image, key, 1, head)) / (head_dim as f64).sqrt()
                };
                let scores: Vec<f64> = (0..tokens).map(score).collect();
                let values: Vec<&[f64]> = (0..tokens).map(|k| part(image, k, 2, head)).collect();
                out.extend(attend(&scores, &values));
            }
        }
    }
    out
}

fn case(
    batch: usize,
    tokens: usize,
    heads: usize,
    head_dim: usize,
    mask: Option<&[i32]>,
) -> Case<SelfAttention> {
    let mut inputs = vec![Input::normal([batch, tokens, 3 * heads * head_dim], 1.0, 1)];
    if let Some(mask) = mask {
        inputs.push(Input::index([batch, tokens], mask.to_vec()));
    }
    let op = SelfAttention { heads, masked: mask.is_some() };
    let name = format!("{batch} x {tokens}, {heads} heads of {head_dim}, mask {mask:?}");
    Case::new(&name, op, inputs)
}

fn check(batch: usize, tokens: usize, heads: usize, head_dim: usize, mask: Option<&[i32]>) {
    let case = case(batch, tokens, heads, head_dim, mask);
    case.check(|inputs| naive(&case.op, inputs));
}

#[test]
fn sizes_that_are_multiples_of_nothing() {
    check(2, 7, 3, 5, None);
    check(1, 19, 2, 3, None);
}

#[test]
fn one_token_one_channel() {
    check(1, 1, 1, 1, None);
    check(3, 1, 2, 4, None);
}

#[test]
fn masked_words() {
    check(2, 5, 2, 3, Some(&[1, 1, 0, 1, 0, 1, 1, 1, 1, 1]));
}

#[test]
fn all_words_but_one_masked() {
    check(2, 4, 1, 3, Some(&[0, 0, 1, 0, 1, 0, 0, 0]));
}

#[test]
fn no_word_at_all_gives_zeros() {
    let case = case(2, 3, 1, 2, Some(&[0, 0, 0, 1, 1, 0]));
    case.check(|inputs| naive(&case.op, inputs));
    assert!(case.forward::<f32>(&case.inputs, true).0[..6].iter().all(|&x| x == 0.0));
}

#[test]
fn several_tiles_of_queries() {
    let case = case(1, 301, 2, 9, None);
    case.check_forward(&naive(&case.op, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn the_decoders_head_width() {
    let case = case(2, 50, 2, 64, None);
    case.check_forward(&naive(&case.op, &case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
}

#[test]
fn a_map_is_a_sequence() {
    let inputs = vec![Input::normal([2, 3, 4, 18], 1.0, 1)];
    let case = Case::new("3 x 4 map", SelfAttention { heads: 2, masked: false }, inputs);
    case.check(|inputs| naive(&case.op, inputs));
    assert_eq!(case.signature().out.shape.extents(), [2, 3, 4, 6]);
}

#[test]
fn scores_of_ten_thousand() {
    let mut case = case(1, 9, 2, 4, None);
    case.inputs[0].real.iter_mut().for_each(|x| *x *= 100.0);
    case.check_forward(&naive(&case.op, &case.inputs));
    case.check_threads();
    let (out, kept) = case.forward::<f32>(&case.inputs, true);
    let gradients = case.backward::<f32>(&out, &kept, &vec![1.0; out.len()], None);
    let written = gradients.into_iter().flatten().flatten();
    assert!(out.into_iter().chain(written).all(f64::is_finite));
}

/// Backward by plain loops that round where kernels do.
fn naive_backward(
    case: &Case<SelfAttention>,
    dout: &[f64],
    precision: Precision,
) -> Vec<Option<Vec<f64>>> {
    let (shape, heads) = (&case.inputs[0].of.shape, case.op.heads);
    let channels = shape.channels() / 3;
    let part = |i: usize| columns(&case.inputs[0].real, 3 * channels, i * channels, channels);
    let attention = Attention {
        batch: shape.extents()[0],
        heads,
        head_dim: channels / heads,
        scale: 1.0 / ((channels / heads) as f64).sqrt(),
        mask: case.op.masked.then(|| &case.inputs[1].index[..]),
        q: part(0),
        k: part(1),
        v: part(2),
    };
    let [dq, dk, dv] = attention.backward(dout, precision);
    let rows = dq.chunks(channels).zip(dk.chunks(channels)).zip(dv.chunks(channels));
    let dqkv = rows.flat_map(|((q, k), v)| [q, k, v].concat()).collect();
    let mut gradients = vec![Some(dqkv)];
    gradients.extend(case.op.masked.then_some(None));
    gradients
}

fn check_on_device(case: &Case<SelfAttention>) {
    case.check_on_device_against(naive_backward);
}

/// One tile of keys: heads of one line and of several, rows of any alignment, words left out.
#[test]
fn few_tokens_on_a_device() {
    for (batch, tokens, heads, head_dim) in
        [(2, 7, 3, 5), (1, 1, 1, 1), (3, 1, 2, 4), (2, 20, 2, 64), (1, 32, 1, 200), (1, 19, 2, 72)]
    {
        check_on_device(&case(batch, tokens, heads, head_dim, None));
    }
    check_on_device(&case(2, 5, 2, 3, Some(&[1, 1, 0, 1, 0, 1, 1, 1, 1, 1])));
    check_on_device(&case(2, 4, 1, 3, Some(&[0, 0, 1, 0, 1, 0, 0, 0])));
    check_on_device(&case(2, 3, 1, 8, Some(&[0, 0, 0, 1, 1, 0])));
    let words = [vec![1; 12], vec![0; 8], vec![1; 20]].concat();
    check_on_device(&case(2, 20, 2, 64, Some(&words)));
}

/// Several tiles of keys, in heads narrow and wide.
#[test]
fn many_tokens_on_a_device() {
    for (batch, tokens, heads, head_dim) in
        [(1, 33, 2, 64), (2, 140, 1, 9), (1, 67, 1, 130), (1, 40, 2, 72)]
    {
        check_on_device(&case(batch, tokens, heads, head_dim, None));
    }
    let words: Vec<i32> = (0..140).map(|i| i32::from(i < 45 || (i > 70 && i % 3 == 0))).collect();
    check_on_device(&case(2, 70, 2, 24, Some(&words)));
    check_on_device(&case(2, 70, 1, 65, Some(&words)));
    let one: Vec<i32> = (0..105).map(|i| i32::from(i == 34 || i > 70)).collect();
    check_on_device(&case(3, 35, 1, 16, Some(&one)));
    check_on_device(&case(3, 35, 1, 80, Some(&one)));
}

#[test]
fn a_map_on_a_device() {
    let inputs = vec![Input::normal([2, 3, 4, 48], 1.0, 1)];
    let op = SelfAttention { heads: 2, masked: false };
    check_on_device(&Case::new("3 x 4 map", op, inputs));
}

/// Every key is there twice, so that its probability is not 1.
#[test]
fn scores_of_ten_thousand_on_a_device() {
    for (tokens, head_dim) in [(10, 4), (42, 8)] {
        let mut case = case(1, tokens, 2, head_dim, None);
        let row = 6 * head_dim;
        for i in 0..tokens * row {
            let token = i / row;
            if i % row / (2 * head_dim) == 1 && token % 2 == 1 {
                case.inputs[0].real[i] = case.inputs[0].real[i - row];
            }
        }
        case.inputs[0].real.iter_mut().for_each(|x| *x *= 100.0);
        check_on_device(&case);
    }
}

#[test]
fn wrong_inputs_are_named() {
    let op = |heads, masked| SelfAttention { heads, masked };
    let qkv = TensorType::activation([2, 5, 12]);
    let refused = |op: SelfAttention, inputs: &[&TensorType], found: &str| {
        let error = op.signature(inputs).expect_err("wrong inputs");
        assert!(error.to_string().contains(found), "{error}");
    };
    refused(op(3, false), &[&qkv], "[2, 5, 12]");
    refused(op(0, false), &[&qkv], "[2, 5, 12]");
    refused(op(2, true), &[&qkv], "mask [B, N]");
    refused(op(2, true), &[&qkv, &TensorType::index([2, 4])], "index [2, 4]");
    refused(op(2, true), &[&qkv, &TensorType::activation([2, 5])], "[2, 5, 12], [2, 5]");
    refused(op(2, false), &[&TensorType::activation([2, 5, 13])], "[2, 5, 13]");
    refused(op(2, false), &[&TensorType::activation([5, 12])], "[5, 12]");
}
