// What is added to the scores of a head: the table, what it makes of padding, and what hides keys that are
// none.
#pragma once

#include "rows.cuh"

constexpr float LOG2_E = 1.4426950408889634f;

__device__ inline float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// The logarithm of the sum of powers of two of `value(first .. end - 1)`; minus infinity of nothing.
template <typename Value> __device__ inline float log_sum(int first, int end, Value value) {
  float most = -INFINITY, sum = 0.0f;
  for (int i = first; i < end; ++i) most = fmaxf(most, value(i));
  if (most == -INFINITY) return most;
  for (int i = first; i < end; ++i) sum += exp2_approximate(value(i) - most);
  return most + log2f(sum);
}

// Probabilities are powers of two of scores: `scale` makes scores of products of queries and keys. Here are
// three planes of rows of `pitch` numbers: the table, [2 window - 1] of them; for every query the logarithm
// of the sum over all padded keys, [window]; minus infinity, [window]. They are divided by `scale`, so that
// products can be added to them as they are. Where a query's number for a key is, is the difference of two
// offsets in bytes, whatever plane the key is in. Rows are so far apart that neighbouring queries and keys
// meet in no bank also where they go on into the next row of a window.
struct Biases {
  float *planes;
  float
      *strips;  // [2, 2 window - 1, window]: sums over a row of padding, beside the positions and below them
  int *keys;    // offsets of keys
  int *queries; // and of queries
  int window, side, pitch;
  float root, scale; // of products for scores as they are, and as powers of two

  static __device__ Biases take(SharedMemory &memory, const Map &map) {
    Biases b;
    b.window = map.window, b.side = 2 * map.window - 1, b.root = map.scale(), b.scale = b.root * LOG2_E;
    b.pitch = map.window <= 17 ? map.window + 16 : b.side;
    b.planes = memory.take<float>((b.side + 2 * b.window) * b.pitch);
    b.keys = memory.take<int>(map.tiles * 16);
    b.queries = memory.take<int>(map.tiles * 16);
    b.strips = memory.take<float>(2 * b.side * b.window);
    return b;
  }

  __device__ float &padding(int y, int x) const { return planes[(side + y) * pitch + x]; }
  __device__ float &strip(bool below, int dy, int x) const {
    return strips[(below * side + dy + window - 1) * window + x];
  }

  // A head's column of the table [side^2, heads].
  __device__ void load_table(const float *table, const Map &map) const {
    for (int i = threadIdx.x; i < side * side; i += blockDim.x)
      planes[i / side * pitch + i % side] = table[static_cast<size_t>(i) * map.heads + map.head()] / root;
    for (int i = threadIdx.x; i < window * pitch; i += blockDim.x)
      planes[(side + window) * pitch + i] = -INFINITY;
  }

  // Offsets and places of a rectangle's positions, of the padding, and of what fills the last tile of keys.
  __device__ void set_offsets(const Rectangle &r, int map_width, int *places) const {
    for (int i = threadIdx.x; i < r.key_tiles() * 16; i += blockDim.x) {
      const int y = i / r.columns, x = i - y * r.columns;
      const bool real = i < r.positions, padding = i == r.positions && r.padded;
      const int plane = padding ? side : side + window;
      queries[i] = (real ? y * pitch + x : 0) * 4;
      keys[i] = (real ? (y - window + 1) * pitch + x - window + 1 : -plane * pitch) * 4;
      places[i] = real ? r.start + y * map_width + x : padding ? PADDING : NOTHING;
    }
  }

  // Sums over each row of the padding, then over its rows. All threads; the table has to be there.
  __device__ void sum_padding(const Rectangle r) const {
    for (int i = threadIdx.x; i < 2 * side * r.columns; i += blockDim.x) {
      const int row = i / r.columns, x = i - row * r.columns;
      const bool below = row >= side, any = below ? r.rows < r.all_rows : r.columns < r.all_columns;
      const float *const of = planes + (below ? row - side : row) * pitch + x + window - 1;
      strips[row * window + x] = log_sum(any && !below ? r.columns : 0, any ? r.all_columns : 0,
                                         [=](int kx) { return of[-kx] * scale; });
    }
    __syncthreads();
    for (int i = threadIdx.x; i < r.positions; i += blockDim.x) {
      const int y = i / r.columns, x = i - y * r.columns;
      padding(y, x) = log_sum(0, r.all_rows, [=](int ky) { return strip(ky >= r.rows, y - ky, x); }) / scale;
    }
  }
};
