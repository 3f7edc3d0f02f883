// Layer norm over channels, forward and backward (equations: src/op/layer_norm/mod.rs).
//
// Forward a warp has one row and reads it from memory once: up to 2048 bytes of it stay in registers as
// they came (1024 channels in bf16, 512 in f32), the rest is read again, from the cache. Mean first,
// then the mean of squared distances from it. No shared memory. Backward: layer_norm/backward.cuh.
// Limits: rows and channels from 1 to 2^30; any alignment (odd ones move one number at a time).

#include "common/reduce.cuh"
#include "common/vector.cuh"
#include "layer_norm/backward.cuh"

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

// dinp [rows, channels], dweight and dbias [channels] (+)= their gradients: `add..` is 1 to add, 0 to set; null
// for what is not wanted. For more than one block there are `parts` [blocks and ceil(blocks / 12), 2, channels
// filled up to a multiple of four], aligned to 16 bytes, and as many tickets as the latter and one more.
// Grid: a block of 256 threads for each chunk of rows, one or more.
extern "C" __global__ __launch_bounds__(CHUNK_WARPS *WARP) void
layer_norm_backward_f32(const float *dout, const float *inp, const float *weight, const float *mean,
                        const float *rstd, float *dinp, float *dweight, float *dbias, float *parts,
                        unsigned *tickets, int rows, int channels, int add, int add_weight, int add_bias) {
  const Parameters to = {dweight, dbias, channels, add_weight != 0, add_bias != 0};
  backward(dout, inp, weight, mean, rstd, dinp, to, parts, tickets, rows, add != 0);
}
extern "C" __global__ __launch_bounds__(CHUNK_WARPS *WARP) void
layer_norm_backward_bf16(const bf16 *dout, const bf16 *inp, const float *weight, const float *mean,
                        const float *rstd, bf16 *dinp, float *dweight, float *dbias, float *parts,
                        unsigned *tickets, int rows, int channels, int add, int add_weight, int add_bias) {
  const Parameters to = {dweight, dbias, channels, add_weight != 0, add_bias != 0};
  backward(dout, inp, weight, mean, rstd, dinp, to, parts, tickets, rows, add != 0);
}
