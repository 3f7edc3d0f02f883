// Linear layer with its prologue and epilogue, forward and backward (equations: src/op/linear/mod.rs).
//
// A block of 256 threads makes 128 x 128 of a product, in bf16 on tensor cores with 48 KB of shared memory, in
// f32 with 33 KB; where it is called small, 128 threads make 64 x 64 with 24 KB (common/gemm*.cuh), and 2 KB more for
// a norm. The norm is applied to operands in shared memory; bias, activation, what is dropped and residual before
// anything is written. Backward is one launch, after one for the epilogue where there is an activation; blocks
// share long sums, and the last of them adds these up.
// Limits: rows, outputs and inputs from 1 to 2^30, 2^31 blocks; any alignment.

#include "linear/backward.cuh"
#include "linear/forward.cuh"

// inp [rows, inputs], weight [outputs, inputs], out [rows, outputs]; null for what there is not: bias
// [outputs], residual and pre [rows, outputs]. `activation` is 0 for none, 1 for ReLU, 2 for GELU. The sum has `parts`,
// for which `memory` has [tiles of out, parts, tile] numbers if they are more than one, and each tile
// ceil(parts / 4) + ceil(that / 4) + ... + 1 tickets. `drop.what` is 0 for nothing, 1 for numbers, 2 for samples of so many
// rows; what has a word whose upper 24 bits are below `least` is dropped, the rest multiplied by `scale`. Grid: `parts`
// blocks of 256 threads for each 128 x 128 of out; for small ones tiles of 64 and 128 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_f32(const __grid_constant__ LinearForward<float> of) {
  forward<LARGE>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_bf16(const __grid_constant__ LinearForward<bf16> of) {
  forward<LARGE>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_forward_small_bf16(const __grid_constant__ LinearForward<bf16> of) {
  forward<SMALL>(of);
}

// The same of the norm of inp with weight and bias [inputs], whose `mean` and `rstd` [rows] are left unless null.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_norm_f32(const __grid_constant__ LinearForward<float> of) {
  forward_of_norm<LARGE>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_norm_bf16(const __grid_constant__ LinearForward<bf16> of) {
  forward_of_norm<LARGE>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_forward_norm_small_bf16(const __grid_constant__ LinearForward<bf16> of) {
  forward_of_norm<SMALL>(of);
}

// dpre = what is not dropped of dout activation'(pre) [rows, outputs] (`saved` is out for ReLU, pre for GELU), dbias
// [outputs] (+)= the sums of dpre over rows, dresidual (+)= dout; null for what is not wanted. With more chunks of the rows
// than one `partial` has [chunks, ceil(outputs / 128), 128] numbers, and 128 columns have a ticket. Grid: `chunks` blocks
// of 256 threads for each 128 columns.
extern "C" __global__ __launch_bounds__(256, 4) void
linear_backward_epilogue_f32(const __grid_constant__ Columns<float> of) {
  ColumnBlocks<float>(of).run<256>(blockIdx.x, reinterpret_cast<float *>(block_memory()));
}
extern "C" __global__ __launch_bounds__(256, 4) void
linear_backward_epilogue_bf16(const __grid_constant__ Columns<bf16> of) {
  ColumnBlocks<bf16>(of).run<256>(blockIdx.x, reinterpret_cast<float *>(block_memory()));
}

// dinp [rows, inputs] (+)= dpre weight, dweight [outputs, inputs] (+)= dpre^T inp, dbias [outputs] (+)= the sums of
// dpre over rows, dresidual (+)= dpre; null for what is not wanted. The sums of dinp and dweight have parts, with memory
// and tickets as forward, that of dbias `chunks`, as above. dweight's blocks come before dinp's if `weight_first` is 1.
// Grid: blocks of 256 threads, as many as parts for each 128 x 128 of dinp and of dweight, and as chunks for each 128
// columns if dbias or dresidual is wanted; for small ones tiles of 64 and 128 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_f32(const __grid_constant__ LinearBackward<float> of) {
  backward<LARGE, Change::NONE>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<LARGE, Change::NONE>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 5) void
linear_backward_small_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<SMALL, Change::NONE>(of);
}

// The same, but dweight (+)= dpre^T norm(inp), and `dinp` is the gradient of norm(inp).
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_norm_f32(const __grid_constant__ LinearBackward<float> of) {
  backward<LARGE, Change::NORM>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_norm_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<LARGE, Change::NORM>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_backward_norm_small_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<SMALL, Change::NORM>(of);
}

// The same without a norm where dpre is what is not dropped of `dpre`, and dresidual (+)= `dpre`.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_drop_f32(const __grid_constant__ LinearBackward<float> of) {
  backward<LARGE, Change::DROP>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_drop_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<LARGE, Change::DROP>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_backward_drop_small_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<SMALL, Change::DROP>(of);
}
