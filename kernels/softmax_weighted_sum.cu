// Sum of values weighted by a softmax over words, forward and backward (equations:
// src/op/softmax_weighted_sum/mod.rs).
//
// An attention of one head whose scores are not scaled; what blocks, warps and shared memory do, and limits,
// say common/attention_kernels.cuh and the headers it includes.

#include "common/attention_kernels.cuh"

ATTENTION_KERNELS(softmax_weighted_sum)
