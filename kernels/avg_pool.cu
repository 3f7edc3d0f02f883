// Mean of 2 x 2 pixels, forward and backward (equations: src/op/avg_pool/mod.rs).
//
// A thread has two vectors of the smaller map, or every 256th number where pixels are not aligned, and the four
// of the larger one that belong to each: everything is read and written once. No shared memory.
// Limit: fewer than 2^31 numbers.

#include "common/elementwise.cuh"

// Calls `visit(moved, in_large, in_small)` for the numbers of this thread: `in_large` is the upper left of the four.
// `pixels` and `width` are those of the smaller maps.
template <typename T, typename Visit>
__device__ inline void each(const T *large, const T *small, int pixels, int width, int channels, Visit visit) {
  const bool whole = aligned<WIDEST<T>>(large, channels) && aligned<WIDEST<T>>(small, channels);
  each_in_rows<T>(pixels, channels, whole, blockIdx.x, [&](auto moved, unsigned pixel, unsigned channel) {
    // Heights are even, so maps may be taken for one.
    const unsigned row = pixel / width, column = pixel % width;
    const size_t upper_left = static_cast<size_t>(row) * 4 * width + 2 * column;
    visit(moved, upper_left * channels + channel, static_cast<size_t>(pixel) * channels + channel);
  });
}

template <typename T>
__device__ inline void forward(const T *inp, T *out, int pixels, int width, int channels) {
  const size_t line = 2 * static_cast<size_t>(width) * channels;
  each(inp, out, pixels, width, channels, [&](auto moved, size_t in_large, size_t in_small) {
    constexpr int WIDTH = decltype(moved)::value;
    const T *const from = inp + in_large;
    float upper[WIDTH], lower[WIDTH], upper_right[WIDTH], lower_right[WIDTH];
    load<T, WIDTH>(from, upper);
    load<T, WIDTH>(from + channels, upper_right);
    load<T, WIDTH>(from + line, lower);
    load<T, WIDTH>(from + line + channels, lower_right);
#pragma unroll
    for (int i = 0; i < WIDTH; ++i)
      upper[i] = (upper[i] + upper_right[i] + lower[i] + lower_right[i]) * 0.25f;
    store(out + in_small, upper);
  });
}

template <typename T>
__device__ inline void backward(const T *dout, T *dinp, int pixels, int width, int channels, bool add) {
  const size_t line = 2 * static_cast<size_t>(width) * channels;
  each(dinp, dout, pixels, width, channels, [&](auto moved, size_t in_large, size_t in_small) {
    constexpr int WIDTH = decltype(moved)::value;
    T *const to = dinp + in_large;
    float d[WIDTH];
    load<T, WIDTH>(dout + in_small, d);
    // forward: out[y, x] = (sum of inp[2y + i, 2x + j]) / 4
#pragma unroll
    for (int i = 0; i < WIDTH; ++i) d[i] *= 0.25f;
    put(to, d, add);
    put(to + channels, d, add);
    put(to + line, d, add);
    put(to + line + channels, d, add);
  });
}

// `out` is maps of `pixels` in all, lines of `width`; `inp` twice as high and wide.
// Grid: ceil(pixels channels / ROWS_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
avg_pool_forward_f32(const float *inp, float *out, int pixels, int width, int channels) {
  forward(inp, out, pixels, width, channels);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
avg_pool_forward_bf16(const bf16 *inp, bf16 *out, int pixels, int width, int channels) {
  forward(inp, out, pixels, width, channels);
}

// `add` is 1 to add to `dinp`, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
avg_pool_backward_f32(const float *dout, float *dinp, int pixels, int width, int channels, int add) {
  backward(dout, dinp, pixels, width, channels, add != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
avg_pool_backward_bf16(const bf16 *dout, bf16 *dinp, int pixels, int width, int channels, int add) {
  backward(dout, dinp, pixels, width, channels, add != 0);
}
