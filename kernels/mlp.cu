// The MLP of a transformer block as one operation (equations: src/op/mlp/mod.rs).
//
// Forward is one launch for up to 256 inputs and outputs. A block has 128 rows, whose norm lies in registers, and goes
// through the hidden units 32 at a time: the first product's sums, activated, are the second one's operand without ever
// leaving their registers. Two blocks of the narrower kernel go on a multiprocessor, one of the wider: where rows are few,
// blocks share the hidden units. Backward begins with one launch through the second layer, which makes the hidden units
// again beside their gradient, for the weight's; the first layer's share is that of a linear layer.
// Limits of forward: up to 128 or 256 inputs and outputs, as which it multiplies fewer; rows and hidden units from 1 to
// 2^30; any alignment.

#include "linear/backward.cuh"
#include "mlp/forward.cuh"

// out = residual + drop(activation(norm(inp) weight1^T + bias1) weight2^T + bias2), for up to 128 inputs and outputs. inp
// [rows, inputs], weight1 [hidden, inputs], weight2 [outputs, hidden], residual and out [rows, outputs]; pre [rows, hidden]
// is what the activation gets, `mean` and `rstd` [rows] are the norm's, for backward. Null for what there is not or nobody
// wants: bias1 [hidden], bias2 [outputs], residual, pre, mean and rstd; the norm's weight [inputs] where there is no norm,
// then its bias, mean and rstd too. `activation` and what is dropped are as in linear.cu. The hidden units are shared by
// `parts` blocks, for which `memory` has [row tiles, parts, 128, 128] numbers if they are more than one, and each tile of
// 128 rows ceil(parts / 4) + ceil(that / 4) + ... + 1 tickets. Grid: `parts` blocks of 128 threads, with 51584 bytes of
// shared memory, for each 128 rows.
extern "C" __global__ __launch_bounds__(128, 2) void mlp_forward_bf16(const __grid_constant__ MlpForward of) {
  mlp_forward<128>(of);
}

// The same for up to 256: `memory` has [row tiles, parts, 128, 256] numbers, a block 256 threads and 101760 bytes.
extern "C" __global__ __launch_bounds__(256, 1) void mlp_forward_wide_bf16(const __grid_constant__ MlpForward of) {
  mlp_forward<256>(of);
}

// The gradients of a linear layer (linear_backward_drop) whose input was activated: `inp` is what the activation gets,
// `dinp` the gradient of that. With `activated` [rows, inputs] it becomes what the activation makes, dinp must be wanted if
// dweight is, dinp's blocks start first, dweight's wait for them, and `turns` has three counters; without it, in bf16,
// dweight's blocks activate what they read. Grid as there.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
mlp_backward_f32(const __grid_constant__ LinearBackward<float> of) {
  backward<LARGE, Change::ACTIVATION>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
mlp_backward_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<LARGE, Change::ACTIVATION>(of);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
mlp_backward_small_bf16(const __grid_constant__ LinearBackward<bf16> of) {
  backward<SMALL, Change::ACTIVATION>(of);
}
