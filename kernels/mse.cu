// Mean squared difference, forward and backward (equations: src/op/mse/mod.rs).
//
// A thread has one vector of both tensors, or every 256th number where they are not aligned. The sum goes over
// threads, warps and blocks, and the block that comes last adds the blocks' sums in their order. Shared memory:
// a number for each warp. Limits: none.

#include "common/elementwise.cuh"
#include "common/total.cuh"

template <typename T>
__device__ inline void forward(const T *a, const T *b, float *out, float *partial, unsigned *ticket, int rows,
                               int columns, float share) {
  float sum = 0.0f;
  const bool whole = aligned<WIDEST<T>>(a, 0) && aligned<WIDEST<T>>(b, 0);
  each_element<T>(static_cast<size_t>(rows) * columns, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    float first[WIDTH], second[WIDTH];
    load<T, WIDTH>(a + at, first);
    load<T, WIDTH>(b + at, second);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) sum += (first[i] - second[i]) * (first[i] - second[i]);
  });
  sum_over_blocks(sum, partial, ticket, [&](float total) { *out = total * share; });
}

// The gradients may be one, for a tensor beside itself.
template <typename T>
__device__ inline void backward(const T *a, const T *b, const float *dout, T *da, T *db, int rows, int columns,
                                float share, bool add_a, bool add_b) {
  const float scale = 2.0f * share * *dout;
  const bool whole = aligned<WIDEST<T>>(a, 0) && aligned<WIDEST<T>>(b, 0) && aligned<WIDEST<T>>(da, 0) &&
                     aligned<WIDEST<T>>(db, 0);
  each_element<T>(static_cast<size_t>(rows) * columns, whole, [&](auto width, size_t at) {
    constexpr int WIDTH = decltype(width)::value;
    float first[WIDTH], second[WIDTH];
    load<T, WIDTH>(a + at, first);
    load<T, WIDTH>(b + at, second);
    // forward: out = share * sum of (a - b)^2
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) first[i] = scale * (first[i] - second[i]), second[i] = -first[i];
    if (da != nullptr) put(da + at, first, add_a);
    if (db != nullptr) put(db + at, second, add_b);
  });
}

// Tensors have `rows` x `columns` numbers, `share` is one over how many that are; `out` and `dout` are f32.
// `partial` has a number for each block; one ticket. Grid: ceil(rows columns / ELEMENT_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
mse_forward_f32(const float *a, const float *b, float *out, float *partial, unsigned *ticket, int rows,
                int columns, float share) {
  forward(a, b, out, partial, ticket, rows, columns, share);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
mse_forward_bf16(const bf16 *a, const bf16 *b, float *out, float *partial, unsigned *ticket, int rows,
                 int columns, float share) {
  forward(a, b, out, partial, ticket, rows, columns, share);
}

// A gradient that is not wanted is null; `add_..` is 1 to add to it, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
mse_backward_f32(const float *a, const float *b, const float *dout, float *da, float *db, int rows, int columns,
                 float share, int add_a, int add_b) {
  backward(a, b, dout, da, db, rows, columns, share, add_a != 0, add_b != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
mse_backward_bf16(const bf16 *a, const bf16 *b, const float *dout, bf16 *da, bf16 *db, int rows, int columns,
                  float share, int add_a, int add_b) {
  backward(a, b, dout, da, db, rows, columns, share, add_a != 0, add_b != 0);
}
