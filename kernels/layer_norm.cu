// Layer norm over channels, forward and backward (equations: src/op/layer_norm/mod.rs).
//
// A warp has one row and reads it from memory once: up to 2048 bytes of it stay in registers as
// they came (1024 channels in bf16, 512 in f32), the rest is read again, from the cache. Mean first,
// then the mean of squared distances from it. No shared memory but in the parameters' sums over rows.
// Limits: rows and channels from 1 to 2^30; any alignment (odd ones move one number at a time).

#include "common/reduce.cuh"
#include "common/vector.cuh"

constexpr int ROW_WARPS = 4;
// Vectors that stay in registers, and how many numbers one has where rows are aligned: four, so that a warp's
// loads of weights in f32 are whole lines too.
template <typename T> constexpr int HELD = 16 / sizeof(T);

// A row in vectors of WIDTH numbers, of which lane l has the l-th, (l + 32)-th and so on.
template <typename T, int WIDTH> struct Row {
  const T *values;
  Packed<T, WIDTH> held[HELD<T>];

  __device__ Row(const T *row, int vectors) : values(row) {
#pragma unroll
    for (int i = 0; i < HELD<T>; ++i) {
      const int at = threadIdx.x % WARP + i * WARP;
      if (at < vectors) held[i] = load_packed<T, WIDTH>(row + static_cast<size_t>(at) * WIDTH);
    }
  }

  // The vector at `at`, which is this lane's number `slot`.
  __device__ void get(int slot, int at, float (&to)[WIDTH]) const {
    if (slot < HELD<T>)
      unpack(held[slot], to);
    else
      load<T, WIDTH>(values + static_cast<size_t>(at) * WIDTH, to);
  }
};

// Calls `visit(slot, at)` for every vector of this lane; what has a register is visited with a slot
// that is known at compile time.
template <typename T, typename Visit> __device__ inline void each_vector(int vectors, Visit visit) {
  const int lane = threadIdx.x % WARP;
#pragma unroll
  for (int i = 0; i < HELD<T>; ++i)
    if (lane + i * WARP < vectors) visit(i, lane + i * WARP);
#pragma unroll 1
  for (int at = lane + HELD<T> * WARP; at < vectors; at += WARP) visit(HELD<T>, at);
}

template <typename T, int WIDTH>
__device__ inline void forward_row(const T *inp, const float *weight, const float *bias, T *out,
                                   float *mean, float *rstd, int channels, float eps) {
  const int vectors = channels / WIDTH;
  const Row<T, WIDTH> row(inp, vectors);
  float sum = 0.0f;
  each_vector<T>(vectors, [&](int slot, int at) {
    float x[WIDTH];
    row.get(slot, at, x);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) sum += x[i];
  });
  const float m = warp_sum(sum) / channels;
  float squares = 0.0f;
  each_vector<T>(vectors, [&](int slot, int at) {
    float x[WIDTH];
    row.get(slot, at, x);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) squares += (x[i] - m) * (x[i] - m);
  });
  const float r = 1.0f / sqrtf(warp_sum(squares) / channels + eps);
  each_vector<T>(vectors, [&](int slot, int at) {
    float x[WIDTH], w[WIDTH], b[WIDTH];
    row.get(slot, at, x);
    load<float, WIDTH>(weight + at * WIDTH, w);
    load<float, WIDTH>(bias + at * WIDTH, b);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) x[i] = (x[i] - m) * r * w[i] + b[i];
    store(out + static_cast<size_t>(at) * WIDTH, x);
  });
  if (threadIdx.x % WARP == 0 && mean != nullptr) *mean = m, *rstd = r;
}

template <typename T, int WIDTH>
__device__ inline void backward_row(const T *dout, const T *inp, const float *weight, float m, float r,
                                    T *dinp, int channels, bool add) {
  const int vectors = channels / WIDTH;
  const Row<T, WIDTH> dout_row(dout, vectors), inp_row(inp, vectors);
  // forward: out = n weight + bias, so g = dout weight is the gradient of n
  const auto g_and_n = [&](int slot, int at, float(&g)[WIDTH], float(&n)[WIDTH]) {
    float w[WIDTH];
    dout_row.get(slot, at, g);
    inp_row.get(slot, at, n);
    load<float, WIDTH>(weight + at * WIDTH, w);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) g[i] *= w[i], n[i] = (n[i] - m) * r;
  };
  float sum_g = 0.0f, sum_gn = 0.0f;
  each_vector<T>(vectors, [&](int slot, int at) {
    float g[WIDTH], n[WIDTH];
    g_and_n(slot, at, g, n);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) sum_g += g[i], sum_gn += g[i] * n[i];
  });
  // forward: n = (inp - mean) rstd
  const float mean_g = warp_sum(sum_g) / channels, mean_gn = warp_sum(sum_gn) / channels;
  each_vector<T>(vectors, [&](int slot, int at) {
    float g[WIDTH], n[WIDTH];
    g_and_n(slot, at, g, n);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) g[i] = r * (g[i] - mean_g - n[i] * mean_gn);
    put(dinp + static_cast<size_t>(at) * WIDTH, g, add);
  });
}

template <typename T>
__device__ inline void forward(const T *inp, const float *weight, const float *bias, T *out, float *mean,
                               float *rstd, int rows, int channels, float eps) {
  const int row = blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
  if (row >= rows) return;
  const size_t at = static_cast<size_t>(row) * channels;
  float *const m = mean == nullptr ? nullptr : mean + row, *const r = rstd + row;
  if (aligned<FOUR>(inp, channels) && aligned<FOUR>(out, channels) && aligned<FOUR>(weight, FOUR) &&
      aligned<FOUR>(bias, FOUR))
    forward_row<T, FOUR>(inp + at, weight, bias, out + at, m, r, channels, eps);
  else
    forward_row<T, 1>(inp + at, weight, bias, out + at, m, r, channels, eps);
}

template <typename T>
__device__ inline void backward(const T *dout, const T *inp, const float *weight, const float *mean,
                                const float *rstd, T *dinp, int rows, int channels, bool add) {
  const int row = blockIdx.x * ROW_WARPS + threadIdx.x / WARP;
  if (row >= rows) return;
  const size_t at = static_cast<size_t>(row) * channels;
  const float m = mean[row], r = rstd[row];
  if (aligned<FOUR>(dout, channels) && aligned<FOUR>(inp, channels) && aligned<FOUR>(dinp, channels) &&
      aligned<FOUR>(weight, FOUR))
    backward_row<T, FOUR>(dout + at, inp + at, weight, m, r, dinp + at, channels, add);
  else
    backward_row<T, 1>(dout + at, inp + at, weight, m, r, dinp + at, channels, add);
}

template <typename T>
__device__ inline void backward_parameters(const T *dout, const T *inp, const float *mean,
                                           const float *rstd, float *partial, int rows, int channels) {
  const ColumnWork work(rows, channels);
  const bool whole = work.count == FOUR && aligned<FOUR>(dout, channels) && aligned<FOUR>(inp, channels);
  float sums[2][FOUR] = {};
#pragma unroll 2
  for (int row = work.row; row < work.end; row += COLUMN_WARPS) {
    const size_t at = static_cast<size_t>(row) * channels + work.column;
    const float m = mean[row], r = rstd[row];
    float d[FOUR], x[FOUR];
    load_four(dout + at, work.count, whole, d);
    load_four(inp + at, work.count, whole, x);
    // forward: out = n weight + bias
#pragma unroll
    for (int i = 0; i < FOUR; ++i) sums[0][i] += d[i] * ((x[i] - m) * r), sums[1][i] += d[i];
  }
  store_partial_sums<2>(sums, channels, partial);
}

// `mean` and `rstd` [rows] are null where no backward pass will follow.
// Grid: ceil(rows / 4) blocks of 128 threads.
extern "C" __global__ __launch_bounds__(ROW_WARPS *WARP) void
layer_norm_forward_f32(const float *inp, const float *weight, const float *bias, float *out, float *mean,
                       float *rstd, int rows, int channels, float eps) {
  forward(inp, weight, bias, out, mean, rstd, rows, channels, eps);
}
extern "C" __global__ __launch_bounds__(ROW_WARPS *WARP) void
layer_norm_forward_bf16(const bf16 *inp, const float *weight, const float *bias, bf16 *out, float *mean,
                        float *rstd, int rows, int channels, float eps) {
  forward(inp, weight, bias, out, mean, rstd, rows, channels, eps);
}

// `add` is 1 to add to `dinp`, 0 to set it. Grid: ceil(rows / 4) blocks of 128 threads.
extern "C" __global__ __launch_bounds__(ROW_WARPS *WARP) void
layer_norm_backward_f32(const float *dout, const float *inp, const float *weight, const float *mean,
                        const float *rstd, float *dinp, int rows, int channels, int add) {
  backward(dout, inp, weight, mean, rstd, dinp, rows, channels, add != 0);
}
extern "C" __global__ __launch_bounds__(ROW_WARPS *WARP) void
layer_norm_backward_bf16(const bf16 *dout, const bf16 *inp, const float *weight, const float *mean,
                         const float *rstd, bf16 *dinp, int rows, int channels, int add) {
  backward(dout, inp, weight, mean, rstd, dinp, rows, channels, add != 0);
}

// The sums of each chunk of rows: `partial` [chunks, 2, channels], the weight's before the bias's.
// Grid: (ceil(channels / 128), chunks) blocks of 256 threads; 1 to 65535 chunks.
extern "C" __global__ __launch_bounds__(COLUMN_WARPS *WARP) void
layer_norm_backward_parameters_f32(const float *dout, const float *inp, const float *mean,
                                   const float *rstd, float *partial, int rows, int channels) {
  backward_parameters(dout, inp, mean, rstd, partial, rows, channels);
}
extern "C" __global__ __launch_bounds__(COLUMN_WARPS *WARP) void
layer_norm_backward_parameters_bf16(const bf16 *dout, const bf16 *inp, const float *mean,
                                    const float *rstd, float *partial, int rows, int channels) {
  backward_parameters(dout, inp, mean, rstd, partial, rows, channels);
}

// Adds the chunks' sums up into one gradient [channels]: `partial` begins at its part of the first chunk
// (for the bias `channels` numbers further on). Grid: ceil(channels / 32) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(COLUMN_WARPS *WARP) void
layer_norm_backward_parameters_sum_f32(const float *partial, float *gradient, int chunks, int channels,
                                       int add) {
  const float sum[1] = {sum_of_chunks(partial, chunks, channels, 2 * static_cast<size_t>(channels))};
  const int channel = blockIdx.x * WARP + threadIdx.x;
  if (threadIdx.x < WARP && channel < channels) put(gradient + channel, sum, add != 0);
}
