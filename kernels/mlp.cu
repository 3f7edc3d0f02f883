// The MLP of a transformer block as one operation (equations: src/op/mlp/mod.rs).
//
// Forward is one launch for up to 256 inputs and outputs. A block has 128 rows, whose norm lies in registers, and goes
// through the hidden units 32 at a time: the first product's sums, activated, are the second one's operand without ever
// leaving their registers. Two blocks of the narrower kernel go on a multiprocessor, one of the wider: where rows are few,
// blocks share the hidden units. Backward begins with one launch that applies the activation to what is kept of the
// hidden units wherever it is read; the first layer's share is that of a linear layer.
// Limits of forward: up to 128 or 256 inputs and outputs, as which it multiplies fewer; rows and hidden units from 1 to
// 2^30; any alignment.

#include "linear/backward.cuh"
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

// dpre = what is not dropped of dout, times weight2 and activation'(pre) [rows, hidden], dweight2 [outputs, hidden] (+)= what is
// not dropped of dout^T activation(pre), dbias2 [outputs] (+)= its sums over rows, dresidual (+)= dout; null for what is
// not wanted. All else of the backward pass is that of a linear layer with a norm and the gradient dpre. Arguments,
// memory, tickets and grid are those of linear_backward_drop for a layer of so many hidden units as inputs, and its
// dinp is dpre; `drop` may be 0 here.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
mlp_backward_f32(const float *dout, const float *pre, const float *weight2, float *dpre, float *dweight2, float *dbias2,
    float *dresidual, float *pre_memory, float *weight_memory, float *partial, unsigned *pre_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int hidden, int pre_parts, int weight_parts,
    int chunks, int weight_first, int activation, int drop, int sample_rows, int least, float scale,
    unsigned long long seed, int node, const unsigned long long *step, int add_pre, int add_weight, int add_bias,
    int add_residual) {
  const Drop dropped = {drop, sample_rows, least, scale, seed, node, step};
  const Products<float, Change::ACTIVATION> products = {dout, pre, weight2, {dpre, hidden, add_pre != 0},
      {dweight2, hidden, add_weight != 0}, {pre_memory, pre_tickets, pre_parts},
      {weight_memory, weight_tickets, weight_parts}, rows, outputs, hidden, weight_first != 0, {}, dropped, activation};
  ColumnBlocks<float> columns = {dout, nullptr, nullptr, dresidual, dbias2, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
mlp_backward_bf16(const bf16 *dout, const bf16 *pre, const bf16 *weight2, bf16 *dpre, float *dweight2, float *dbias2,
    bf16 *dresidual, float *pre_memory, float *weight_memory, float *partial, unsigned *pre_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int hidden, int pre_parts, int weight_parts,
    int chunks, int weight_first, int activation, int drop, int sample_rows, int least, float scale,
    unsigned long long seed, int node, const unsigned long long *step, int add_pre, int add_weight, int add_bias,
    int add_residual) {
  const Drop dropped = {drop, sample_rows, least, scale, seed, node, step};
  const Products<bf16, Change::ACTIVATION> products = {dout, pre, weight2, {dpre, hidden, add_pre != 0},
      {dweight2, hidden, add_weight != 0}, {pre_memory, pre_tickets, pre_parts},
      {weight_memory, weight_tickets, weight_parts}, rows, outputs, hidden, weight_first != 0, {}, dropped, activation};
  ColumnBlocks<bf16> columns = {dout, nullptr, nullptr, dresidual, dbias2, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
mlp_backward_small_bf16(const bf16 *dout, const bf16 *pre, const bf16 *weight2, bf16 *dpre, float *dweight2, float *dbias2,
    bf16 *dresidual, float *pre_memory, float *weight_memory, float *partial, unsigned *pre_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int hidden, int pre_parts, int weight_parts,
    int chunks, int weight_first, int activation, int drop, int sample_rows, int least, float scale,
    unsigned long long seed, int node, const unsigned long long *step, int add_pre, int add_weight, int add_bias,
    int add_residual) {
  const Drop dropped = {drop, sample_rows, least, scale, seed, node, step};
  const Products<bf16, Change::ACTIVATION> products = {dout, pre, weight2, {dpre, hidden, add_pre != 0},
      {dweight2, hidden, add_weight != 0}, {pre_memory, pre_tickets, pre_parts},
      {weight_memory, weight_tickets, weight_parts}, rows, outputs, hidden, weight_first != 0, {}, dropped, activation};
  ColumnBlocks<bf16> columns = {dout, nullptr, nullptr, dresidual, dbias2, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<SMALL>(products, columns);
}
