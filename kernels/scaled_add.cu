// Sum with a learned scale, forward and backward (equations: src/op/scaled_add/mod.rs).
//
// A thread has one vector of all tensors, or every 256th number where they are not aligned. Backward makes all
// three gradients in one launch: the scale's is summed over threads, warps and blocks, and the block that
// comes last adds the blocks' sums in their order. Shared memory: a number for each warp.
// Limits: none.

#include "common/elementwise.cuh"
#include "common/total.cuh"

template <typename T>
__device__ inline void forward(const float *alpha, const T *a, const T *b, T *out, int rows, int columns) {
  const float scale = *alpha;
  const bool whole = aligned<WIDEST<T>>(a, 0) && aligned<WIDEST<T>>(b, 0) && aligned<WIDEST<T>>(out, 0);
  each_element<T>(static_cast<size_t>(rows) * columns, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    float first[WIDTH], second[WIDTH];
    load<T, WIDTH>(a + at, first);
    load<T, WIDTH>(b + at, second);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) second[i] += scale * first[i];
    store(out + at, second);
  });
}

// The gradients of a and b may be one, for a tensor that is added to itself.
template <typename T>
__device__ inline void backward(const float *alpha, const T *a, const T *dout, float *dalpha, T *da, T *db,
                                float *partial, unsigned *ticket, int rows, int columns, bool add_alpha,
                                bool add_a, bool add_b) {
  const float scale = *alpha;
  float sum = 0.0f;
  const bool whole = aligned<WIDEST<T>>(a, 0) && aligned<WIDEST<T>>(dout, 0) && aligned<WIDEST<T>>(da, 0) &&
                     aligned<WIDEST<T>>(db, 0);
  each_element<T>(static_cast<size_t>(rows) * columns, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    float d[WIDTH];
    load<T, WIDTH>(dout + at, d);
    // forward: out = alpha a + b
    if (dalpha != nullptr) {
      float first[WIDTH];
      load<T, WIDTH>(a + at, first);
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) sum += d[i] * first[i];
    }
    if (da != nullptr) {
      float scaled[WIDTH];
#pragma unroll
      for (int i = 0; i < WIDTH; ++i) scaled[i] = scale * d[i];
      put(da + at, scaled, add_a);
    }
    if (db != nullptr) put(db + at, d, add_b);
  });
  if (dalpha == nullptr) return;
  sum_over_blocks(sum, partial, ticket, [&](float total) {
    const float value[1] = {total};
    put(dalpha, value, add_alpha);
  });
}

// Tensors have `rows` x `columns` numbers. Grid: ceil(rows columns / ELEMENT_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
scaled_add_forward_f32(const float *alpha, const float *a, const float *b, float *out, int rows, int columns) {
  forward(alpha, a, b, out, rows, columns);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
scaled_add_forward_bf16(const float *alpha, const bf16 *a, const bf16 *b, bf16 *out, int rows, int columns) {
  forward(alpha, a, b, out, rows, columns);
}

// A gradient that is not wanted is null; `add_..` is 1 to add to it, 0 to set it. `partial` has a number for each
// block; one ticket. Grid: as forward.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
scaled_add_backward_f32(const float *alpha, const float *a, const float *dout, float *dalpha, float *da,
                        float *db, float *partial, unsigned *ticket, int rows, int columns, int add_alpha,
                        int add_a, int add_b) {
  backward(alpha, a, dout, dalpha, da, db, partial, ticket, rows, columns, add_alpha != 0, add_a != 0,
           add_b != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
scaled_add_backward_bf16(const float *alpha, const bf16 *a, const bf16 *dout, float *dalpha, bf16 *da, bf16 *db,
                         float *partial, unsigned *ticket, int rows, int columns, int add_alpha, int add_a,
                         int add_b) {
  backward(alpha, a, dout, dalpha, da, db, partial, ticket, rows, columns, add_alpha != 0, add_a != 0,
           add_b != 0);
}
