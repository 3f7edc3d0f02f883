//! The sum of three table rows for each token.

use crformer::op::contract::{Operation, TensorType};
use crformer::op::embedding::Embedding;

use crate::support::case::{Case, Input};
use crate::support::compare::assert_close;

fn naive(inputs: &[Input]) -> Vec<f64> {
    let &[batch, words] = inputs[0].of.shape.extents() else { panic!("two extents") };
    let channels = inputs[1].of.shape.channels();
    let mut out = Vec::new();
    for b in 0..batch {
        for l in 0..words {
            let id = inputs[0].index[b * words + l] as usize;
            for c in 0..channels {
                let (word, position) = (&inputs[1].real, &inputs[2].real);
                out.push(word[id * channels + c] + position[l * channels + c] + inputs[3].real[c]);
            }
        }
    }
    out
}

/// `sizes`: batch, words, vocabulary, positions, types, channels.
fn case(name: &str, sizes: [usize; 6], tokens: Vec<i32>) -> Case<Embedding> {
    let [batch, words, vocabulary, positions, types, channels] = sizes;
    let inputs = vec![
        Input::index([batch, words], tokens),
        Input::normal([vocabulary, channels], 1.0, 1),
        Input::normal([positions, channels], 1.0, 2),
        Input::normal([types, channels], 1.0, 3),
    ];
    Case::new(name, Embedding {}, inputs)
}

#[test]
fn tokens_several_times_and_never() {
    case("2 x 3", [2, 3, 7, 5, 2, 5], vec![6, 0, 6, 2, 6, 6]).check(naive);
    case("one token", [1, 1, 3, 1, 1, 1], vec![2]).check(naive);
}

/// Tables and tokens of more than one chunk; a word's gradient is the sum of its tokens'.
#[test]
fn more_than_a_chunk() {
    let (batch, words, vocabulary, channels) = (9, 11, 700, 203);
    let tokens: Vec<i32> = (0..99).map(|i| (i * i * 31) % 699).collect();
    let case = case("99 tokens", [batch, words, vocabulary, 100, 2, channels], tokens.clone());
    case.check_forward(&naive(&case.inputs));
    case.check_set_and_add();
    case.check_threads();
    case.check_f32();
    let dout: Vec<f64> = (0..99 * channels).map(|i| ((i * 7919) % 101) as f64 - 50.0).collect();
    let (mut dword, mut dposition) = (vec![0.0; vocabulary * channels], vec![0.0; 100 * channels]);
    let mut dtype = vec![0.0; 2 * channels];
    for (row, id) in tokens.iter().enumerate() {
        for c in 0..channels {
            let d = dout[row * channels + c];
            dword[*id as usize * channels + c] += d;
            dposition[row % words * channels + c] += d;
            dtype[c] += d;
        }
    }
    let got = case.backward::<f64>(&[], &[], &dout, None);
    assert!(got[0].is_none(), "tokens have no gradient");
    for (i, want) in [dword, dposition, dtype].iter().enumerate() {
        assert_close("table", got[i + 1].as_ref().expect("a gradient"), want, 1e-13);
    }
}

/// Tokens that are equal, rows that none names, more tokens than a block looks at at once.
#[test]
fn on_a_device() {
    case("2 x 3", [2, 3, 7, 5, 2, 5], vec![6, 0, 6, 2, 6, 6]).check_on_device();
    case("one token", [1, 1, 3, 1, 1, 1], vec![2]).check_on_device();
    case("equal tokens", [2, 5, 3, 12, 9, 8], vec![1; 10]).check_on_device();
    let tokens = |n: i32| (0..n).map(|i| (i * i * 31) % 69).collect::<Vec<i32>>();
    case("99 tokens", [9, 11, 70, 100, 2, 203], tokens(99)).check_on_device();
    case("wide rows", [3, 4, 69, 4, 1, 1100], tokens(12)).check_on_device();
    case("520 tokens", [40, 13, 100, 13, 2, 24], tokens(520)).check_on_device();
}

#[test]
fn ids_beyond_the_table_are_named() {
    for id in [7, -1] {
        let case = case("beyond", [1, 2, 7, 2, 1, 3], vec![0, id]);
        let failure = std::panic::catch_unwind(|| case.forward::<f32>(&case.inputs, false))
            .expect_err("an id beyond the table");
        let message = failure.downcast_ref::<String>().expect("a message");
        assert!(message.contains(&format!("token id {id} ")), "{message}");
    }
}

#[test]
fn wrong_inputs_are_named() {
    let tokens = TensorType::index([2, 6]);
    let (word, position) = (TensorType::activation([9, 4]), TensorType::activation([6, 4]));
    let signature = |inputs: [&TensorType; 4]| Embedding {}.signature(&inputs);
    assert!(signature([&tokens, &word, &position, &position]).is_ok());
    let short = TensorType::activation([5, 4]);
    let error = signature([&tokens, &word, &short, &position]).expect_err("five positions of six");
    assert!(error.to_string().contains("index [2, 6], [9, 4], [5, 4], [6, 4]"), "{error}");
    let narrow = TensorType::activation([6, 3]);
    assert!(signature([&tokens, &word, &position, &narrow]).is_err(), "three channels of four");
    let real = TensorType::activation([2, 6]);
    assert!(signature([&real, &word, &position, &position]).is_err(), "real tokens");
    assert!(Embedding {}.signature(&[&tokens, &word, &position]).is_err(), "no token types");
}
