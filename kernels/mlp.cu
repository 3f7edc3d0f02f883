// The MLP of a transformer block as one operation (equations: src/op/mlp/mod.rs).
//
// Forward is one launch for up to 256 inputs and outputs. A block has 128 rows, whose norm lies in registers, and goes
// through the hidden units 32 at a time: the first product's sums, activated, are the second one's operand without ever
// leaving their registers. Of the narrower one two blocks of 4 warps go on a multiprocessor, and what a warp loads of
// the weights serves 32 rows; the wider one has 8 warps of 16 rows, and a multiprocessor to itself.
// Limits of forward: up to 128 or 256 inputs and outputs, as which it multiplies fewer; rows and hidden units from 1 to
// 2^30; any alignment.

#include "mlp/forward.cuh"

// out = residual + drop(activation(norm(inp) weight1^T + bias1) weight2^T + bias2), for up to 128 inputs and outputs. inp
// [rows, inputs], weight1 [hidden, inputs], weight2 [outputs, hidden], residual and out [rows, outputs]; pre [rows, hidden]
// is what the activation gets, `mean` and `rstd` [rows] are the norm's, for backward. Null for what there is not or nobody
// wants: bias1 [hidden], bias2 [outputs], residual, pre, mean and rstd; norm_weight [inputs] where there is no norm, then
// norm_bias, mean and rstd too. `activation` and what is dropped are as in linear.cu. The hidden units are shared by `parts`
// blocks, for which `memory` has [row tiles, parts, 128, 128] numbers if they are more than one, and each tile of 128
// rows ceil(parts / 4) + ceil(that / 4) + ... + 1 tickets. Grid: `parts` blocks of 128 threads, with 51584 bytes of
// shared memory, for each 128 rows.
extern "C" __global__ __launch_bounds__(128, 2) void
mlp_forward_bf16(const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    float eps, const bf16 *weight1, const float *bias1, const bf16 *weight2, const float *bias2, const bf16 *residual,
    bf16 *out, bf16 *pre, float *memory, unsigned *tickets, int rows, int inputs, int hidden, int outputs, int parts,
    int activation, int drop, int sample_rows, int least, float scale, unsigned long long seed, int node,
    const unsigned long long *step) {
  mlp_forward<128>({inp, {norm_weight, norm_bias, mean, rstd}, eps, weight1, bias1, weight2, rows, inputs, hidden, outputs,
      activation}, {pre, rows, hidden}, {memory, tickets, parts},
      Epilogue<bf16>{bias2, residual, out, nullptr, outputs, NONE, {drop, sample_rows, least, scale, seed, node, step}});
}

// The same for up to 256: `memory` has [row tiles, parts, 128, 256] numbers, a block 256 threads and 101760 bytes.
extern "C" __global__ __launch_bounds__(256, 1) void
mlp_forward_wide_bf16(const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    float eps, const bf16 *weight1, const float *bias1, const bf16 *weight2, const float *bias2, const bf16 *residual,
    bf16 *out, bf16 *pre, float *memory, unsigned *tickets, int rows, int inputs, int hidden, int outputs, int parts,
    int activation, int drop, int sample_rows, int least, float scale, unsigned long long seed, int node,
    const unsigned long long *step) {
  mlp_forward<256>({inp, {norm_weight, norm_bias, mean, rstd}, eps, weight1, bias1, weight2, rows, inputs, hidden, outputs,
      activation}, {pre, rows, hidden}, {memory, tickets, parts},
      Epilogue<bf16>{bias2, residual, out, nullptr, outputs, NONE, {drop, sample_rows, least, scale, seed, node, step}});
}
