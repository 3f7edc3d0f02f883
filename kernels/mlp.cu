// The MLP of a transformer block as one operation (equations: src/op/mlp/mod.rs).
//
// Forward is one launch for up to 256 inputs and outputs. A block has 128 rows, whose norm lies in registers, and goes through
// the hidden units 32 at a time: the first product's sums, activated, are the second one's operand without ever leaving
// their registers. With at most 128 inputs and outputs it has 128 threads, two of them go on a multiprocessor and both
// weights are read from shared memory once for 32 rows; with more 256 threads, one block, 16 rows.
// Limits of forward: inputs and outputs from 1 to 256, which it multiplies as 128 or 256; rows and hidden units from 1
// to 2^30; any alignment.

#include "mlp/forward.cuh"

// out = residual + drop(activation(norm(inp) weight1^T + bias1) weight2^T + bias2). inp [rows, inputs], weight1 [hidden,
// inputs], weight2 [outputs, hidden], residual and out [rows, outputs]; pre [rows, hidden] is what goes into the
// activation, `mean` and `rstd` [rows] are the norm's, for backward. Null for what there is not or nobody wants: pre, mean and
// rstd, bias1 [hidden], bias2 [outputs], residual; norm_weight [inputs] is null where there is no norm, then norm_bias,
// mean and rstd are not looked at. `activation` and what is dropped are as in linear.cu.
//
// The tile is 128 x W, where W is 128 if inputs and outputs are both at most 128, else 256. The hidden units are shared by
// `parts` blocks, for which `memory` has [row tiles, parts, 128 W] numbers if they are more than one, and each tile of
// 128 rows ceil(parts / 4) + ceil(that / 4) + ... + 1 tickets. Grid: `parts` blocks of W threads for each 128 rows, with 51584
// bytes of shared memory for W = 128 and 101760 for W = 256.
extern "C" __global__ __launch_bounds__(256, 1) void
mlp_forward_bf16(const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd, float eps,
    const bf16 *weight1, const float *bias1, const bf16 *weight2, const float *bias2, const bf16 *residual, bf16 *out,
    bf16 *pre, float *memory, unsigned *tickets, int rows, int inputs, int hidden, int outputs, int parts, int activation,
    int drop, int sample_rows, int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  const MlpInput of = {inp, {norm_weight, norm_bias, mean, rstd}, eps, weight1, bias1, weight2, rows, inputs, hidden,
      outputs, activation};
  const Epilogue<bf16> epilogue = {bias2, residual, out, nullptr, outputs, NONE,
      {drop, sample_rows, least, scale, seed, node, step}};
  if (max(inputs, outputs) <= 128)
    mlp_forward<128>(of, {pre, rows, hidden}, {memory, tickets, parts}, epilogue);
  else
    mlp_forward<256>(of, {pre, rows, hidden}, {memory, tickets, parts}, epilogue);
}
