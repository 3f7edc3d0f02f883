// Cross-attention, forward and backward (equations: src/op/cross_attention/mod.rs).
//
// Keys and values are columns of one tensor; what blocks, warps and shared memory do, and limits, say
// common/attention_kernels.cuh and the headers it includes.

#include "common/attention_kernels.cuh"

ATTENTION_KERNELS(cross_attention)
