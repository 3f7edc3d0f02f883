//! Index of operations: the table from which each machine takes what it runs.

pub mod add;
pub mod avg_pool;
pub mod concat;
pub mod contract;
pub mod conv;
pub mod cross_attention;
pub mod cross_entropy;
pub mod device;
pub mod embedding;
pub mod image_patches;
pub mod layer_norm;
pub mod linear;
pub mod masked_mean;
pub mod mse;
pub mod patch_merging;
pub mod resize;
pub mod scaled_add;
pub mod self_attention;
pub mod slice;
pub mod softmax_weighted_sum;
pub mod transpose;
pub mod weighted_sum;
pub mod window_attention;

use crate::scalar::Scalar;
use contract::{OnCpu, Operation};
use device::OnCuda;

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

            /// Its two directions on CUDA devices.
            pub fn on_cuda(&self) -> &dyn OnCuda {
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
    AvgPool: avg_pool,
    Concat: concat,
    Conv: conv,
    CrossAttention: cross_attention,
    CrossEntropy: cross_entropy,
    Embedding: embedding,
    ImagePatches: image_patches,
    LayerNorm: layer_norm,
    Linear: linear,
    MaskedMean: masked_mean,
    Mse: mse,
    PatchMerging: patch_merging,
    Resize: resize,
    ScaledAdd: scaled_add,
    SelfAttention: self_attention,
    Slice: slice,
    SoftmaxWeightedSum: softmax_weighted_sum,
    Transpose: transpose,
    WeightedSum: weighted_sum,
    WindowAttention: window_attention,
}
