// What is added to the scores of a head: the table, what it makes of padding, and what hides keys that are none.
#pragma once

#include "rows.cuh"

constexpr float LOG2_E = 1.4426950408889634f;

__device__ inline float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ inline float exp_approximate(float x) { return exp2_approximate(x * LOG2_E); }

// The logarithm of the sum of exponentials of `value(first .. end - 1)`; minus infinity of nothing.
template <typename Value> __device__ inline float log_sum_exp(int first, int end, Value value) {
  float most = -INFINITY, sum = 0.0f;
  for (int i = first; i < end; ++i) most = fmaxf(most, value(i));
  if (most == -INFINITY) return most;
  for (int i = first; i < end; ++i) sum += exp_approximate(value(i) - most);
  return most + logf(sum);
}

// Three planes of rows of `pitch` numbers: the table, [2 window - 1] of them; for every query the logarithm of
// the sum of exponentials over all padded keys, [window]; minus infinity, [window]. Where a query's number for a
// key is, is the difference of two offsets in bytes, whatever plane the key is in. Rows are so far apart that
// neighbouring queries and keys meet in no bank also where they go on into the next row of a window.
struct Biases {
  float *planes;
  float *strips; // [2, 2 window - 1, window]: the padding beside, and below
  int *keys;     // offsets of keys
  int *queries;  // and of queries
  int window, side, pitch;

  __device__ Biases(SharedMemory &memory, int window_, int rows, bool padded)
      : window(window_), side(2 * window - 1), pitch(window <= 17 ? window + 16 : side) {
    planes = memory.take<float>((side + 2 * window) * pitch);
    keys = memory.take<int>(rows);
    queries = memory.take<int>(rows);
    strips = padded ? memory.take<float>(2 * side * window) : nullptr;
  }

  __device__ float &table(int dy, int dx) const { return planes[(dy + window - 1) * pitch + dx + window - 1]; }
  __device__ float &padding(int y, int x) const { return planes[(side + y) * pitch + x]; }
  __device__ float &strip(int below, int dy, int x) const {
    return strips[(below * side + dy + window - 1) * window + x];
  }

  // A head's column of the table [side^2, heads].
  __device__ void load_table(const float *from, int heads, int head) const {
    for (int i = threadIdx.x; i < side * side; i += blockDim.x)
      planes[i / side * pitch + i % side] = from[static_cast<size_t>(i) * heads + head];
    for (int i = threadIdx.x; i < window * pitch; i += blockDim.x)
      planes[(side + window) * pitch + i] = -INFINITY;
  }

  // Offsets of a rectangle's positions, of the padding, and of `rows` in all.
  __device__ void set_offsets(const Rectangle &rectangle, int rows) const {
    for (int i = threadIdx.x; i < rows; i += blockDim.x) {
      const int at = i / rectangle.columns * pitch + i % rectangle.columns;
      const bool real = i < rectangle.positions;
      const int plane = i < rectangle.keys() ? side : side + window;
      queries[i] = (real ? at : 0) * 4;
      keys[i] = (real ? at - (window - 1) * (pitch + 1) : -plane * pitch) * 4;
    }
  }

  // Sums over each row of the padding, then over its rows. All threads; the table has to be there.
  __device__ void sum_padding(const Rectangle &r) const {
    for (int i = threadIdx.x; i < 2 * side * r.columns; i += blockDim.x) {
      const int below = i / (side * r.columns), row = i / r.columns % side, x = i % r.columns;
      const bool any = below ? r.rows < r.all_rows : r.columns < r.all_columns;
      const float *const of = planes + row * pitch + x + window - 1;
      strips[(below * side + row) * window + x] =
          log_sum_exp(any && !below ? r.columns : 0, any ? r.all_columns : 0, [=](int kx) { return of[-kx]; });
    }
    __syncthreads();
    for (int i = threadIdx.x; i < r.positions; i += blockDim.x) {
      const int y = i / r.columns, x = i % r.columns;
      padding(y, x) = log_sum_exp(0, r.all_rows, [=](int ky) { return strip(ky >= r.rows, y - ky, x); });
    }
  }
};

// A number of the planes.
__device__ inline float bias_at(unsigned address) {
  float value;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(address) : "memory");
  return value;
}
