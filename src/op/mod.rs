//! Index of operations: the table from which each machine takes what it runs.

pub mod add;
pub mod concat;
pub mod contract;
pub mod dropout;
pub mod embedding;
pub mod layer_norm;
pub mod linear;
pub mod masked_mean;
pub mod mse;
pub mod scaled_add;
pub mod slice;
pub mod transpose;
pub mod weighted_sum;
pub mod cross_attention;
pub mod linear;
pub mod self_attention;
pub mod softmax_weighted_sum;
pub mod window_attention;
pub mod avg_pool;
pub mod contract;
pub mod conv;
pub mod cross_entropy;
pub mod image_patches;
pub mod linear;
pub mod patch_merging;
pub mod resize;

use crate::scalar::Scalar;
use contract::{OnCpu, Operation};

macro_rules! operations {
    ($($name:ident: $module:ident,)*) => {
        /// An operation with its attributes.
        #[derive(Clone, Debug)]
        pub enum Op {
            $($name($module::$name),)*
        }

        impl Op {
            /// What it is, on every machine.
            pub fn operation(&self) -> &dyn Operation {
                match self {
                    $(Op::$name(operation) => operation,)*
                }
            }

            /// Its two directions on the CPU.
            pub fn on_cpu<S: Scalar>(&self) -> &dyn OnCpu<S> {
                match self {
                    $(Op::$name(operation) => operation,)*
                }
            }
        }

        $(impl From<$module::$name> for Op {
            fn from(operation: $module::$name) -> Self {
                Op::$name(operation)
            }
        })*
    };
}

operations! {
    Add: add,
    Concat: concat,
    Dropout: dropout,
    Embedding: embedding,
    LayerNorm: layer_norm,
    Linear: linear,
    MaskedMean: masked_mean,
    Mse: mse,
    ScaledAdd: scaled_add,
    Slice: slice,
    Transpose: transpose,
    WeightedSum: weighted_sum,
    CrossAttention: cross_attention,
    Linear: linear,
    SelfAttention: self_attention,
    SoftmaxWeightedSum: softmax_weighted_sum,
    WindowAttention: window_attention,
    AvgPool: avg_pool,
    Conv: conv,
    CrossEntropy: cross_entropy,
    ImagePatches: image_patches,
    Linear: linear,
    PatchMerging: patch_merging,
    Resize: resize,
}
