// Neighbours of a map side by side, forward and backward (src/op/patch_merging/mod.rs).
//
// A thread moves two vectors of pixels in the order of the larger map, or every 256th number where pixels are not
// aligned. No shared memory. Limit: fewer than 2^31 numbers.

#include "common/elementwise.cuh"

// Calls `visit(width, in_inp, in_out)` for the numbers of this thread. `pixels` are those of all maps.
template <typename T, typename Visit>
__device__ inline void each(const T *inp, const T *out, int pixels, int width, int channels, Visit visit) {
  const bool whole = aligned<WIDEST<T>>(inp, channels) && aligned<WIDEST<T>>(out, channels);
  each_in_rows<T>(pixels, channels, whole, blockIdx.x, [&](auto moved, unsigned pixel, unsigned channel) {
    // out[y, x, (j, i)] = inp[2y + i, 2x + j]; heights are even, so maps may be taken for one.
    const unsigned row = pixel / width, column = pixel % width;
    const unsigned merged = row / 2 * (width / 2) + column / 2, neighbour = column % 2 * 2 + row % 2;
    visit(moved, static_cast<size_t>(pixel) * channels + channel,
          (static_cast<size_t>(merged) * 4 + neighbour) * channels + channel);
  });
}

template <typename T>
__device__ inline void forward(const T *inp, T *out, int pixels, int width, int channels) {
  each(inp, out, pixels, width, channels, [&](auto moved, size_t in_inp, size_t in_out) {
    copy<T, decltype(moved)::value>(inp + in_inp, out + in_out, false);
  });
}

template <typename T>
__device__ inline void backward(const T *dout, T *dinp, int pixels, int width, int channels, bool add) {
  each(dinp, dout, pixels, width, channels, [&](auto moved, size_t in_inp, size_t in_out) {
    copy<T, decltype(moved)::value>(dout + in_out, dinp + in_inp, add);
  });
}

// `inp` is maps of even height, `pixels` in all, lines of `width`, which is even too.
// Grid: ceil(pixels channels / ROWS_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
patch_merging_forward_f32(const float *inp, float *out, int pixels, int width, int channels) {
  forward(inp, out, pixels, width, channels);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
patch_merging_forward_bf16(const bf16 *inp, bf16 *out, int pixels, int width, int channels) {
  forward(inp, out, pixels, width, channels);
}

// `add` is 1 to add to `dinp`, 0 to set it. Grid: as forward.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
patch_merging_backward_f32(const float *dout, float *dinp, int pixels, int width, int channels, int add) {
  backward(dout, dinp, pixels, width, channels, add != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
patch_merging_backward_bf16(const bf16 *dout, bf16 *dinp, int pixels, int width, int channels, int add) {
  backward(dout, dinp, pixels, width, channels, add != 0);
}
