// Linear layer with its epilogue, forward and backward (equations: src/op/linear/mod.rs).
//
// A block of 256 threads makes 128 x 128 of a product, in bf16 on tensor cores with 48 KB of shared memory, in
// f32 with 33 KB; where it is called small, 128 threads make 64 x 64 with 24 KB (common/gemm*.cuh). Bias,
// activation and residual are applied before anything is written. The weight's gradient is summed over parts
// of the rows, which a second kernel adds in order.
// Limits: rows, outputs and inputs from 1 to 2^30, 65535 tiles of rows; any alignment.

#include "common/activation.cuh"
#include "common/gemm_bf16.cuh"
#include "common/gemm_f32.cuh"

// first * second [rows, columns] by tiles of SIDE, in the precision of the operands.
template <int SIDE, Lies FIRST, Lies SECOND, typename Finish>
__device__ inline void product(const bf16 *first, const bf16 *second, int rows, int columns, int depth,
                               Finish finish) {
  const GemmTask task(rows, columns, depth, SIDE, gemm_bf16::STEP);
  gemm_bf16::product<SIDE, FIRST, SECOND>(first, second, task, finish);
}
template <int SIDE, Lies FIRST, Lies SECOND, typename Finish>
__device__ inline void product(const float *first, const float *second, int rows, int columns, int depth,
                               Finish finish) {
  static_assert(SIDE == gemm_f32::SIDE, "f32 has one size of tiles");
  const GemmTask task(rows, columns, depth, SIDE, gemm_f32::STEP);
  gemm_f32::product<FIRST, SECOND>(first, second, task, finish);
}

constexpr int LARGE = 128, SMALL = 64;

template <int SIDE, typename T>
__device__ inline void forward(const T *inp, const T *weight, const float *bias, const T *residual, T *out,
                               T *pre, int rows, int outputs, int inputs, int activation) {
  const bool all_aligned = aligned<FOUR>(out, outputs) && aligned<FOUR>(pre, outputs) &&
                           aligned<FOUR>(residual, outputs) && aligned<FOUR>(bias, FOUR);
  product<SIDE, Lies::BY_DEPTH, Lies::BY_DEPTH>(
      inp, weight, rows, outputs, inputs, [&](int row, int column, float(&values)[FOUR]) {
        const size_t at = static_cast<size_t>(row) * outputs + column;
        const int count = min(outputs - column, FOUR);
        const bool whole = all_aligned && count == FOUR;
        float more[FOUR];
        if (bias != nullptr) {
          load_four(bias + column, count, whole, more);
#pragma unroll
          for (int i = 0; i < FOUR; ++i) values[i] += more[i];
        }
        if (pre != nullptr) put_four(pre + at, count, whole, values, false);
#pragma unroll
        for (int i = 0; i < FOUR; ++i) values[i] = activate(values[i], activation);
        if (residual != nullptr) {
          load_four(residual + at, count, whole, more);
#pragma unroll
          for (int i = 0; i < FOUR; ++i) values[i] += more[i];
        }
        put_four(out + at, count, whole, values, false);
      });
}

// Writes a product as a gradient [.., columns].
template <typename T> struct Gradient {
  T *to;
  int columns;
  bool add;

  __device__ void operator()(int row, int column, float (&values)[FOUR]) const {
    const int count = min(columns - column, FOUR);
    put_four(to + static_cast<size_t>(row) * columns + column, count,
             count == FOUR && aligned<FOUR>(to, columns), values, add);
  }
};

// forward: pre = inp weight^T + bias
template <int SIDE, typename T>
__device__ inline void backward_input(const T *dpre, const T *weight, T *dinp, int rows, int outputs,
                                      int inputs, bool add) {
  product<SIDE, Lies::BY_DEPTH, Lies::BY_OTHER>(dpre, weight, rows, inputs, outputs,
                                                Gradient<T>{dinp, inputs, add});
}

// forward: pre = inp weight^T + bias
template <typename T>
__device__ inline void backward_weight(const T *dpre, const T *inp, float *to, int rows, int outputs,
                                       int inputs, bool add) {
  to += static_cast<size_t>(blockIdx.z) * outputs * inputs;
  product<LARGE, Lies::BY_OTHER, Lies::BY_OTHER>(dpre, inp, outputs, inputs, rows,
                                                 Gradient<float>{to, inputs, add});
}

template <typename T>
__device__ inline void backward_epilogue(const T *dout, const T *saved, T *dpre, T *dresidual,
                                         float *partial, int rows, int outputs, int activation,
                                         bool add_residual) {
  const ColumnWork work(rows, outputs);
  const bool whole = work.count == FOUR && aligned<FOUR>(dout, outputs) && aligned<FOUR>(saved, outputs) &&
                     aligned<FOUR>(dpre, outputs) && aligned<FOUR>(dresidual, outputs);
  float sums[1][FOUR] = {};
#pragma unroll 1
  for (int row = work.row; row < work.end; row += COLUMN_WARPS) {
    const size_t at = static_cast<size_t>(row) * outputs + work.column;
    float d[FOUR];
    load_four(dout + at, work.count, whole, d);
    // forward: out = activation(pre) + residual
    if (dresidual != nullptr) put_four(dresidual + at, work.count, whole, d, add_residual);
    if (activation != NONE) {
      float s[FOUR];
      load_four(saved + at, work.count, whole, s);
#pragma unroll
      for (int i = 0; i < FOUR; ++i) d[i] = differentiate(d[i], s[i], activation);
      put_four(dpre + at, work.count, whole, d, false);
    }
    // forward: pre = inp weight^T + bias
#pragma unroll
    for (int i = 0; i < FOUR; ++i) sums[0][i] += d[i];
  }
  if (partial != nullptr) store_partial_sums<1>(sums, outputs, partial);
}

// inp [rows, inputs], weight [outputs, inputs], out [rows, outputs]; null for what there is not: bias
// [outputs], residual and pre [rows, outputs]. `activation` is 0 for none, 1 for ReLU, 2 for GELU.
// Grid: (ceil(outputs / 128), ceil(rows / 128)) blocks of 256 threads; for small ones tiles of 64 and 128 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_f32(const float *inp, const float *weight, const float *bias, const float *residual,
                   float *out, float *pre, int rows, int outputs, int inputs, int activation) {
  forward<LARGE>(inp, weight, bias, residual, out, pre, rows, outputs, inputs, activation);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_forward_bf16(const bf16 *inp, const bf16 *weight, const float *bias, const bf16 *residual, bf16 *out,
                    bf16 *pre, int rows, int outputs, int inputs, int activation) {
  forward<LARGE>(inp, weight, bias, residual, out, pre, rows, outputs, inputs, activation);
}

extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_forward_small_bf16(const bf16 *inp, const bf16 *weight, const float *bias, const bf16 *residual,
                          bf16 *out, bf16 *pre, int rows, int outputs, int inputs, int activation) {
  forward<SMALL>(inp, weight, bias, residual, out, pre, rows, outputs, inputs, activation);
}

// What dout decides alone. dpre = dout activation'(pre) [rows, outputs], written if there is an activation
// (`saved` is out for ReLU, pre for GELU); dresidual (+)= dout; the sums of each chunk of rows of dpre, partial
// [chunks, outputs]. Null for what is not wanted. Grid: (ceil(outputs / 128), chunks) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(COLUMN_WARPS *WARP) void
linear_backward_epilogue_f32(const float *dout, const float *saved, float *dpre, float *dresidual,
                             float *partial, int rows, int outputs, int activation, int add_residual) {
  backward_epilogue(dout, saved, dpre, dresidual, partial, rows, outputs, activation, add_residual != 0);
}
extern "C" __global__ __launch_bounds__(COLUMN_WARPS *WARP) void
linear_backward_epilogue_bf16(const bf16 *dout, const bf16 *saved, bf16 *dpre, bf16 *dresidual,
                              float *partial, int rows, int outputs, int activation, int add_residual) {
  backward_epilogue(dout, saved, dpre, dresidual, partial, rows, outputs, activation, add_residual != 0);
}

// dbias [outputs] (+)= the chunks' sums. Grid: ceil(outputs / 32) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(COLUMN_WARPS *WARP) void
linear_backward_bias_sum_f32(const float *partial, float *dbias, int chunks, int outputs, int add) {
  const float sum[1] = {sum_of_chunks(partial, chunks, outputs, outputs)};
  const int output = blockIdx.x * WARP + threadIdx.x;
  if (threadIdx.x < WARP && output < outputs) put(dbias + output, sum, add != 0);
}

// dinp [rows, inputs] (+)= dpre weight. Grid: (ceil(inputs / 128), ceil(rows / 128)) blocks of 256 threads; for
// small ones tiles of 64 and 128 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_input_f32(const float *dpre, const float *weight, float *dinp, int rows, int outputs,
                          int inputs, int add) {
  backward_input<LARGE>(dpre, weight, dinp, rows, outputs, inputs, add != 0);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_input_bf16(const bf16 *dpre, const bf16 *weight, bf16 *dinp, int rows, int outputs,
                           int inputs, int add) {
  backward_input<LARGE>(dpre, weight, dinp, rows, outputs, inputs, add != 0);
}

extern "C" __global__ __launch_bounds__(gemm_threads(SMALL), 4) void
linear_backward_input_small_bf16(const bf16 *dpre, const bf16 *weight, bf16 *dinp, int rows, int outputs,
                                 int inputs, int add) {
  backward_input<SMALL>(dpre, weight, dinp, rows, outputs, inputs, add != 0);
}

// dpre^T inp over part z of the rows, to [z][outputs, inputs]: with one part it is dweight, with more the partial
// sums, which are set. Grid: (ceil(inputs / 128), ceil(outputs / 128), parts) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_weight_f32(const float *dpre, const float *inp, float *to, int rows, int outputs, int inputs,
                           int add) {
  backward_weight(dpre, inp, to, rows, outputs, inputs, add != 0);
}
extern "C" __global__ __launch_bounds__(gemm_threads(LARGE), 2) void
linear_backward_weight_bf16(const bf16 *dpre, const bf16 *inp, float *to, int rows, int outputs, int inputs,
                            int add) {
  backward_weight(dpre, inp, to, rows, outputs, inputs, add != 0);
}

// dweight (+)= the parts' sums in their order, four elements a thread; `count` is outputs * inputs, below 2^31.
// Grid: ceil(count / 1024) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(256) void
linear_backward_weight_sum_f32(const float *partial, float *dweight, int parts, int count, int add) {
  const int at = (blockIdx.x * 256 + threadIdx.x) * FOUR, there = min(count - at, FOUR);
  if (there <= 0) return;
  const bool whole = there == FOUR && aligned<FOUR>(partial, count) && aligned<FOUR>(dweight, FOUR);
  float sum[FOUR] = {};
#pragma unroll 4
  for (int part = 0; part < parts; ++part) {
    float more[FOUR];
    load_four(partial + static_cast<size_t>(part) * count + at, there, whole, more);
#pragma unroll
    for (int i = 0; i < FOUR; ++i) sum[i] += more[i];
  }
  put_four(dweight + at, there, whole, sum, add != 0);
}
