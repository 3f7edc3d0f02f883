//! Part of the package of mutants: the cases that the checks are run on, for the operation in a
//! given module.

use crate::support::case::{Case, Input};

/// Normal numbers.
pub fn normal<const N: usize>(shape: [usize; N], seed: u64) -> Input {
    Input::normal(shape, 1.0, seed)
}

/// Indices below `bound`, all of which occur if there are enough.
pub fn index<const N: usize>(shape: [usize; N], bound: usize) -> Input {
    let len = shape.iter().product();
    Input::index(shape, (0..len).map(|i: usize| (i * 7 / 3 % bound) as i32).collect())
}

pub fn case<O>(op: O, inputs: impl IntoIterator<Item = Input>) -> Case<O> {
    let random = crformer::rng::Philox::new(5, 5);
    Case { name: "mutant".to_owned(), op, inputs: inputs.into_iter().collect(), random }
}

macro_rules! cases {
    (add, $op:ident) => {{
        let inputs = || [cases::normal([3, 4, 5], 1), cases::normal([4, 5], 2)];
        vec![
            cases::case($op::Add { relu: true }, inputs()),
            cases::case($op::Add { relu: false }, inputs()),
        ]
    }};
    (avg_pool, $op:ident) => {
        vec![cases::case($op::AvgPool {}, [cases::normal([2, 4, 6, 3], 1)])]
    };
    (concat, $op:ident) => {{
        let inputs = [[2, 3, 4], [2, 1, 4], [2, 2, 4]].map(|shape| cases::normal(shape, 1));
        vec![cases::case($op::Concat { axis: 1 }, inputs)]
    }};
    (conv, $op:ident) => {{
        let shapes = (cases::normal([2, 3, 5, 2], 1), cases::normal([3, 2, 3, 3], 2));
        vec![cases::case($op::Conv {}, [shapes.0, shapes.1, cases::normal([3], 3)])]
    }};
    (cross_attention, $op:ident) => {{
        let inputs = [cases::normal([2, 5, 6], 1), cases::normal([2, 4, 12], 2)];
        let mask = crate::support::case::Input::index([2, 4], vec![1, 1, 0, 1, 1, 0, 0, 1]);
        let long = [cases::normal([1, 30, 2], 1), cases::normal([1, 2, 4], 2)];
        vec![
            cases::case($op::CrossAttention { heads: 2, masked: true }, inputs.into_iter().chain([mask])),
            cases::case($op::CrossAttention { heads: 1, masked: false }, long),
        ]
    }};
    (cross_entropy, $op:ident) => {{
        let inputs = [cases::normal([2, 3, 4, 2], 1), cases::index([2, 7, 9], 2)];
        vec![cases::case($op::CrossEntropy { class_weights: [0.7, 1.6] }, inputs)]
    }};
    (embedding, $op:ident) => {{
        let tables = [cases::normal([5, 3], 1), cases::normal([6, 3], 2), cases::normal([2, 3], 3)];
        let tokens = cases::index([2, 4], 4);
        vec![cases::case($op::Embedding {}, [tokens].into_iter().chain(tables))]
    }};
    (image_patches, $op:ident) => {
        vec![cases::case($op::ImagePatches { patch: 2 }, [cases::normal([2, 3, 6, 4], 1)])]
    };
    (layer_norm, $op:ident) => {{
        let inputs = [cases::normal([5, 7], 1), cases::normal([7], 2), cases::normal([7], 3)];
        vec![cases::case($op::LayerNorm { eps: 1e-5 }, inputs)]
    }};
    (linear, $op:ident) => {{
        use $op::shared::activation::Activation::{Gelu, None, Relu};
        use $op::shared::dropout::Dropout;
        let inputs = || [cases::normal([2, 5, 4], 1), cases::normal([3, 4], 2), cases::normal([3], 3)];
        let residual = || cases::normal([2, 5, 3], 4);
        let op = |activation| $op::Linear { activation, bias: true, ..$op::Linear::default() };
        let with_residual = $op::Linear { residual: true, ..op(None) };
        let dropped = |per_sample| {
            let drop = Some(Dropout { rate: 0.4, per_sample });
            let inputs = [cases::normal([6, 5, 4], 1), cases::normal([3, 4], 2), cases::normal([6, 5, 3], 4)];
            cases::case($op::Linear { bias: false, drop, ..with_residual.clone() }, inputs)
        };
        let norm = [cases::normal([4], 5), cases::normal([4], 6)];
        let [inp, weight, bias] = inputs();
        let normed = [inp, weight].into_iter().chain(norm).chain([bias]);
        vec![
            cases::case(with_residual.clone(), inputs().into_iter().chain([residual()])),
            cases::case(op(Gelu), inputs()),
            cases::case(op(Relu), inputs()),
            dropped(false),
            dropped(true),
            cases::case($op::Linear { norm: Some(1e-5), ..op(Gelu) }, normed),
        ]
    }};
    (masked_mean, $op:ident) => {{
        let mask = crate::support::case::Input::index([3, 3], vec![1, 0, 1, 0, 0, 0, 1, 1, 1]);
        vec![cases::case($op::MaskedMean { masked: true }, [cases::normal([3, 4, 5], 1), mask])]
    }};
    (mse, $op:ident) => {{
        let inputs = [cases::normal([3, 5], 1), cases::normal([3, 5], 2)];
        vec![cases::case($op::Mse { detach_second: false }, inputs)]
    }};
    (patch_merging, $op:ident) => {
        vec![cases::case($op::PatchMerging {}, [cases::normal([2, 4, 6, 3], 1)])]
    };
    (resize, $op:ident) => {{
        let op = |align_corners| $op::Resize { height: 7, width: 9, align_corners };
        let inputs = || [cases::normal([2, 3, 4, 2], 1)];
        vec![cases::case(op(true), inputs()), cases::case(op(false), inputs())]
    }};
    (scaled_add, $op:ident) => {{
        let inputs = [cases::normal([1], 1), cases::normal([3, 5], 2), cases::normal([3, 5], 3)];
        vec![cases::case($op::ScaledAdd {}, inputs)]
    }};
    (self_attention, $op:ident) => {{
        let mask = crate::support::case::Input::index([2, 4], vec![1, 1, 0, 1, 1, 0, 0, 1]);
        let op = $op::SelfAttention { heads: 2, masked: true };
        vec![cases::case(op, [cases::normal([2, 4, 18], 1), mask])]
    }};
    (slice, $op:ident) => {{
        let op = $op::Slice { axis: 1, start: 1, len: 2 };
        vec![cases::case(op, [cases::normal([2, 4, 3], 1)])]
    }};
    (softmax_weighted_sum, $op:ident) => {{
        let mask = crate::support::case::Input::index([2, 4], vec![1, 1, 0, 1, 1, 0, 0, 1]);
        let words = [2, 3].map(|seed| cases::normal([2, 4, 5], seed));
        let inputs = [cases::normal([2, 3, 5], 1)].into_iter().chain(words).chain([mask]);
        vec![cases::case($op::SoftmaxWeightedSum {}, inputs)]
    }};
    (transpose, $op:ident) => {
        vec![cases::case($op::Transpose {}, [cases::normal([2, 3, 5], 1)])]
    };
    (weighted_sum, $op:ident) => {{
        let input = |x| crate::support::case::Input::statistic([1], vec![x]);
        vec![cases::case($op::WeightedSum { weights: vec![1.0, 0.1] }, [input(0.7), input(-2.0)])]
    }};
    (window_attention, $op:ident) => {{
        let inputs = [cases::normal([2, 2, 5, 12], 1), cases::normal([12], 2), cases::normal([25, 2], 3)];
        vec![cases::case($op::WindowAttention { heads: 2, window: 3, shift: 1 }, inputs)]
    }};
}
