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
// ceil(parts / 4) + ceil(that / 4) + ... + 1 tickets. `drop` is 0 for nothing, 1 for numbers, 2 for samples of so many rows;
// what has a word whose upper 24 bits are below `least` is dropped, the rest multiplied by `scale`. Grid: `parts` blocks of
// 256 threads for each 128 x 128 of out; for small ones tiles of 64 and 128 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_f32(const float *inp, const float *weight, const float *bias, const float *residual, float *out,
    float *pre, float *memory, unsigned *tickets, int rows, int outputs, int inputs, int parts, int activation,
    int drop, int sample_rows, int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  forward<LARGE>(inp, weight, rows, inputs, {memory, tickets, parts},
      Epilogue<float>{bias, residual, out, pre, outputs, activation, {drop, sample_rows, least, scale, seed, node, step}});
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_bf16(const bf16 *inp, const bf16 *weight, const float *bias, const bf16 *residual, bf16 *out,
    bf16 *pre, float *memory, unsigned *tickets, int rows, int outputs, int inputs, int parts, int activation,
    int drop, int sample_rows, int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  forward<LARGE>(inp, weight, rows, inputs, {memory, tickets, parts},
      Epilogue<bf16>{bias, residual, out, pre, outputs, activation, {drop, sample_rows, least, scale, seed, node, step}});
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_forward_small_bf16(const bf16 *inp, const bf16 *weight, const float *bias, const bf16 *residual, bf16 *out,
    bf16 *pre, float *memory, unsigned *tickets, int rows, int outputs, int inputs, int parts, int activation,
    int drop, int sample_rows, int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  forward<SMALL>(inp, weight, rows, inputs, {memory, tickets, parts},
      Epilogue<bf16>{bias, residual, out, pre, outputs, activation, {drop, sample_rows, least, scale, seed, node, step}});
}

// The same of the norm of inp with weight and bias [inputs], whose `mean` and `rstd` [rows] are left unless null.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_norm_f32(const float *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    float eps, const float *weight, const float *bias, const float *residual, float *out, float *pre, float *memory,
    unsigned *tickets, int rows, int outputs, int inputs, int parts, int activation, int drop, int sample_rows,
    int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  forward<LARGE>(inp, {norm_weight, norm_bias, mean, rstd}, eps, weight, rows, inputs, {memory, tickets, parts},
      Epilogue<float>{bias, residual, out, pre, outputs, activation, {drop, sample_rows, least, scale, seed, node, step}});
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_norm_bf16(const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    float eps, const bf16 *weight, const float *bias, const bf16 *residual, bf16 *out, bf16 *pre, float *memory,
    unsigned *tickets, int rows, int outputs, int inputs, int parts, int activation, int drop, int sample_rows,
    int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  forward<LARGE>(inp, {norm_weight, norm_bias, mean, rstd}, eps, weight, rows, inputs, {memory, tickets, parts},
      Epilogue<bf16>{bias, residual, out, pre, outputs, activation, {drop, sample_rows, least, scale, seed, node, step}});
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_forward_norm_small_bf16(const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    float eps, const bf16 *weight, const float *bias, const bf16 *residual, bf16 *out, bf16 *pre, float *memory,
    unsigned *tickets, int rows, int outputs, int inputs, int parts, int activation, int drop, int sample_rows,
    int least, float scale, unsigned long long seed, int node, const unsigned long long *step) {
  forward<SMALL>(inp, {norm_weight, norm_bias, mean, rstd}, eps, weight, rows, inputs, {memory, tickets, parts},
      Epilogue<bf16>{bias, residual, out, pre, outputs, activation, {drop, sample_rows, least, scale, seed, node, step}});
}

// dpre = what is not dropped of dout activation'(pre) [rows, outputs] (`saved` is out for ReLU, pre for GELU), dbias
// [outputs] (+)= the sums of dpre over rows, dresidual (+)= dout; null for what is not wanted. With more chunks of the rows
// than one `partial` has [chunks, ceil(outputs / 128), 128] numbers, and 128 columns have a ticket. Grid: `chunks` blocks
// of 256 threads for each 128 columns.
extern "C" __global__ __launch_bounds__(256) void
linear_backward_epilogue_f32(const float *dout, const float *saved, float *dpre, float *dbias, float *dresidual,
    float *partial, unsigned *tickets, int rows, int outputs, int chunks, int activation, int drop, int sample_rows,
    int least, float scale, unsigned long long seed, int node, const unsigned long long *step, int add_bias,
    int add_residual) {
  ColumnBlocks<float> columns = {dout, saved, dpre, dresidual, dbias, partial, tickets, rows, outputs, chunks, activation,
      add_residual != 0, add_bias != 0, {drop, sample_rows, least, scale, seed, node, step}};
  columns.run<256>(blockIdx.x, reinterpret_cast<float *>(block_memory()));
}
extern "C" __global__ __launch_bounds__(256) void
linear_backward_epilogue_bf16(const bf16 *dout, const bf16 *saved, bf16 *dpre, float *dbias, bf16 *dresidual,
    float *partial, unsigned *tickets, int rows, int outputs, int chunks, int activation, int drop, int sample_rows,
    int least, float scale, unsigned long long seed, int node, const unsigned long long *step, int add_bias,
    int add_residual) {
  ColumnBlocks<bf16> columns = {dout, saved, dpre, dresidual, dbias, partial, tickets, rows, outputs, chunks, activation,
      add_residual != 0, add_bias != 0, {drop, sample_rows, least, scale, seed, node, step}};
  columns.run<256>(blockIdx.x, reinterpret_cast<float *>(block_memory()));
}

// dinp [rows, inputs] (+)= dpre weight, dweight [outputs, inputs] (+)= dpre^T inp, dbias [outputs] (+)= the sums of
// dpre over rows, dresidual (+)= dpre; null for what is not wanted. The sums of dinp and dweight have parts, with memory
// and tickets as forward, that of dbias `chunks`, as above. dweight's blocks come before dinp's if `weight_first` is 1.
// Grid: blocks of 256 threads, as many as parts for each 128 x 128 of dinp and of dweight, and as chunks for each 128
// columns if dbias or dresidual is wanted; for small ones tiles of 64 and 128 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_f32(const float *dpre, const float *inp, const float *weight, float *dinp, float *dweight,
    float *dbias, float *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {};
  const Products<float, Change::NONE> products = {dpre, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {}, dropped};
  ColumnBlocks<float> columns = {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_bf16(const bf16 *dpre, const bf16 *inp, const bf16 *weight, bf16 *dinp, float *dweight,
    float *dbias, bf16 *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {};
  const Products<bf16, Change::NONE> products = {dpre, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {}, dropped};
  ColumnBlocks<bf16> columns = {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 5) void
linear_backward_small_bf16(const bf16 *dpre, const bf16 *inp, const bf16 *weight, bf16 *dinp, float *dweight,
    float *dbias, bf16 *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {};
  const Products<bf16, Change::NONE> products = {dpre, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {}, dropped};
  ColumnBlocks<bf16> columns = {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<SMALL>(products, columns);
}

// The same, but dweight (+)= dpre^T norm(inp), and `dinp` is the gradient of norm(inp).
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_norm_f32(const float *dpre, const float *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    const float *weight, float *dinp, float *dweight,
    float *dbias, float *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {};
  const Products<float, Change::NORM> products = {dpre, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {norm_weight, norm_bias, mean, rstd}, dropped};
  ColumnBlocks<float> columns = {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_norm_bf16(const bf16 *dpre, const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    const bf16 *weight, bf16 *dinp, float *dweight,
    float *dbias, bf16 *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {};
  const Products<bf16, Change::NORM> products = {dpre, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {norm_weight, norm_bias, mean, rstd}, dropped};
  ColumnBlocks<bf16> columns = {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_backward_norm_small_bf16(const bf16 *dpre, const bf16 *inp, const float *norm_weight, const float *norm_bias, float *mean, float *rstd,
    const bf16 *weight, bf16 *dinp, float *dweight,
    float *dbias, bf16 *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {};
  const Products<bf16, Change::NORM> products = {dpre, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {norm_weight, norm_bias, mean, rstd}, dropped};
  ColumnBlocks<bf16> columns = {dpre, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<SMALL>(products, columns);
}

// The same where dpre is what is not dropped of dout, and dresidual (+)= dout.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_drop_f32(const float *dout, const float *inp, const float *weight, float *dinp, float *dweight,
    float *dbias, float *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int drop, int sample_rows, int least, float scale, unsigned long long seed,
    int node, const unsigned long long *step, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {drop, sample_rows, least, scale, seed, node, step};
  const Products<float, Change::DROP> products = {dout, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {}, dropped};
  ColumnBlocks<float> columns = {dout, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_drop_bf16(const bf16 *dout, const bf16 *inp, const bf16 *weight, bf16 *dinp, float *dweight,
    float *dbias, bf16 *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int drop, int sample_rows, int least, float scale, unsigned long long seed,
    int node, const unsigned long long *step, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {drop, sample_rows, least, scale, seed, node, step};
  const Products<bf16, Change::DROP> products = {dout, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {}, dropped};
  ColumnBlocks<bf16> columns = {dout, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<LARGE>(products, columns);
}
extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_backward_drop_small_bf16(const bf16 *dout, const bf16 *inp, const bf16 *weight, bf16 *dinp, float *dweight,
    float *dbias, bf16 *dresidual, float *input_memory, float *weight_memory, float *partial, unsigned *input_tickets,
    unsigned *weight_tickets, unsigned *bias_tickets, int rows, int outputs, int inputs, int input_parts,
    int weight_parts, int chunks, int weight_first, int drop, int sample_rows, int least, float scale, unsigned long long seed,
    int node, const unsigned long long *step, int add_input, int add_weight, int add_bias, int add_residual) {
  const Drop dropped = {drop, sample_rows, least, scale, seed, node, step};
  const Products<bf16, Change::DROP> products = {dout, inp, weight, {dinp, inputs, add_input != 0}, {dweight, inputs, add_weight != 0},
      {input_memory, input_tickets, input_parts}, {weight_memory, weight_tickets, weight_parts}, rows, outputs, inputs,
      weight_first != 0, {}, dropped};
  ColumnBlocks<bf16> columns = {dout, nullptr, nullptr, dresidual, dbias, partial, bias_tickets, rows, outputs, chunks,
      NONE, add_residual != 0, add_bias != 0, dropped};
  backward<SMALL>(products, columns);
}
