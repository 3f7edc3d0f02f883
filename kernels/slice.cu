// A part of one axis, forward and backward (src/op/slice/mod.rs).
//
// Extents from the axis on make a row, so the part is some of its columns. A thread has two vectors, or every
// 256th number where rows are not aligned: of the part forward and where backward adds, of whole rows where it
// sets and what is beside the part becomes 0. No shared memory. Limit: fewer than 2^31 numbers.

#include "common/elementwise.cuh"

// Columns `start` .. `start` + `len` of rows of `columns`.
struct Columns {
  int columns, start, len;

  // Where number (row, column) of the part lies in the whole.
  __device__ size_t in_whole(unsigned row, unsigned column) const {
    return static_cast<size_t>(row) * columns + start + column;
  }
};

template <typename T> __device__ inline void forward(const T *inp, T *out, int rows, const Columns part) {
  constexpr int WIDTH = WIDEST<T>;
  const bool whole = aligned<WIDTH>(inp + part.start, part.columns) && aligned<WIDTH>(out, part.len);
  each_in_rows<T>(rows, part.len, whole, blockIdx.x, [&](auto width, unsigned row, unsigned column) {
    const size_t at = static_cast<size_t>(row) * part.len + column;
    copy<T, decltype(width)::value>(inp + part.in_whole(row, column), out + at, false);
  });
}

template <typename T>
__device__ inline void backward_set(const T *dout, T *dinp, int rows, const Columns part) {
  constexpr int WIDTH = WIDEST<T>;
  const bool whole = aligned<WIDTH>(dinp, part.columns) && aligned<WIDTH>(dout, part.len) && part.start % WIDTH == 0;
  each_in_rows<T>(rows, part.columns, whole, blockIdx.x, [&](auto width, unsigned row, unsigned column) {
    // forward: out = inp[start .. start + len]
    const unsigned from = column - part.start;
    Packed<T, decltype(width)::value> value = {};
    if (from < static_cast<unsigned>(part.len))
      value = load_packed<T, decltype(width)::value>(dout + static_cast<size_t>(row) * part.len + from);
    store_packed(dinp + static_cast<size_t>(row) * part.columns + column, value);
  });
}

template <typename T>
__device__ inline void backward_add(const T *dout, T *dinp, int rows, const Columns part) {
  constexpr int WIDTH = WIDEST<T>;
  const bool whole = aligned<WIDTH>(dinp + part.start, part.columns) && aligned<WIDTH>(dout, part.len);
  each_in_rows<T>(rows, part.len, whole, blockIdx.x, [&](auto width, unsigned row, unsigned column) {
    const size_t at = static_cast<size_t>(row) * part.len + column;
    copy<T, decltype(width)::value>(dout + at, dinp + part.in_whole(row, column), true);
  });
}

template <typename T>
__device__ inline void backward(const T *dout, T *dinp, int rows, const Columns part, bool add) {
  if (add)
    backward_add(dout, dinp, rows, part);
  else
    backward_set(dout, dinp, rows, part);
}

// The part is columns `start` to `start` + `len` of `rows` rows of `columns`.
// Grid: ceil(rows len / ROWS_TILE) blocks of 256 threads.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
slice_forward_f32(const float *inp, float *out, int rows, int columns, int start, int len) {
  forward(inp, out, rows, {columns, start, len});
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
slice_forward_bf16(const bf16 *inp, bf16 *out, int rows, int columns, int start, int len) {
  forward(inp, out, rows, {columns, start, len});
}

// `add` is 1 to add to `dinp`, 0 to set it.
// Grid: as forward to add; ceil(rows columns / ROWS_TILE) blocks of 256 threads to set.
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
slice_backward_f32(const float *dout, float *dinp, int rows, int columns, int start, int len, int add) {
  backward(dout, dinp, rows, {columns, start, len}, add != 0);
}
extern "C" __global__ __launch_bounds__(ELEMENT_THREADS) void
slice_backward_bf16(const bf16 *dout, bf16 *dinp, int rows, int columns, int start, int len, int add) {
  backward(dout, dinp, rows, {columns, start, len}, add != 0);
}
