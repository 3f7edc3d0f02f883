// Gradients that windows share: the table's, and those of padding's k and v, summed over a block's rectangles in
// shared memory, then over blocks.
#pragma once

#include "../common/last_block.cuh"
#include "biases.cuh"

template <typename T> struct Gradients {
  // Gradients of scores, keys by queries of a group, `pitch` bytes a key: neither rows that ldmatrix reads at once
  // nor threads that sum up diagonals meet in a bank.
  char *ds;
  int pitch;
  // Sums over windows: by distance of rows, column of the key and column of the query; and the padding's dk and dv.
  float *pairs, *padding;
  float *of_padding; // a rectangle's gradients of scores with the padding, by query

  static __device__ int pitch_of(int tiles) {
    const int words = tiles * 16 * static_cast<int>(sizeof(T)) / 4, step = sizeof(T) == 2 ? 20 : 12;
    return (words + (step - words % 32 + 32) % 32) * 4;
  }

  __device__ void take(SharedMemory &memory, const Map &map, bool wanted) {
    const int side = 2 * map.window - 1, positions = map.window * map.window;
    pairs = memory.take<float>(wanted ? side * positions : 0);
    padding = memory.take<float>(wanted ? 2 * map.head_dim : 0);
    of_padding = memory.take<float>(wanted ? map.tiles * 16 : 0);
  }

  __device__ void begin(const Map &map) const {
    const int side = 2 * map.window - 1;
    for (int i = threadIdx.x; i < side * map.window * map.window; i += blockDim.x) pairs[i] = 0.0f;
    for (int i = threadIdx.x; i < 2 * map.head_dim; i += blockDim.x) padding[i] = 0.0f;
  }

  // Adds `ds` of the queries from `begin` to `end`. A thread has one column of keys, one of queries, and every
  // parts-th distance of rows.
  __device__ void sum_group(const Rectangle r, int window, int begin, int end) const {
    const int last = min(end, r.positions), all = r.columns * r.columns;
    const int parts = max(static_cast<int>(blockDim.x) / all, 1);
    for (int i = threadIdx.x; i < all * parts; i += blockDim.x) {
      const int part = i / all, kx = (i - part * all) / r.columns, qx = i - part * all - kx * r.columns;
      const int first = (begin - qx + r.columns - 1) / r.columns, after = (last - qx + r.columns - 1) / r.columns;
      float *sum = pairs + ((part - r.rows + window) * window + kx) * window + qx;
      const int step = r.columns * (pitch + static_cast<int>(sizeof(T)));
      for (int dy = part - r.rows + 1; dy < r.rows; dy += parts, sum += parts * window * window) {
        const int from = max(first, dy), to = min(after, r.rows + dy);
        const char *at = ds + ((from - dy) * r.columns + kx) * pitch +
                         (from * r.columns + qx - begin) * static_cast<int>(sizeof(T));
        float of_rows = 0.0f;
#pragma unroll 4
        for (int y = from; y < to; ++y, at += step) {
          float value[1];
          load<T, 1>(reinterpret_cast<const T *>(at), value);
          of_rows += value[0];
        }
        if (from < to) *sum += of_rows;
      }
    }
    if (!r.padded) return;
    for (int i = begin + threadIdx.x; i < last; i += blockDim.x) {
      float value[1];
      load<T, 1>(reinterpret_cast<const T *>(ds + r.positions * pitch) + i - begin, value);
      of_padding[i] = value[0];
    }
  }

  // What the gradients of the scores with the padding are for the table: Biases::sum_padding backwards. All threads;
  // nobody reads `ds` any more.
  __device__ void sum_padding(const Rectangle r, const Biases biases) const {
    const int side = biases.side, window = biases.window;
    const float scale = biases.scale;
    float *const of_strips = reinterpret_cast<float *>(ds);
    for (int i = threadIdx.x; i < 2 * side * r.columns; i += blockDim.x) {
      const int row = i / r.columns, x = i - row * r.columns;
      const bool below = row >= side;
      const int dy = (below ? row - side : row) - window + 1;
      const float strip = biases.strips[row * window + x];
      float sum = 0.0f;
      // forward: padding(y, x) = log_sum of strip(ky >= rows, y - ky, x)
      for (int y = max(0, dy + (below ? r.rows : 0)); y < min(r.rows, dy + (below ? r.all_rows : r.rows)); ++y)
        sum += of_padding[y * r.columns + x] * exp2_approximate(strip - biases.padding(y, x) * scale);
      of_strips[row * window + x] = sum;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < side * side; i += blockDim.x) {
      const int dy = i / side, dx = i - dy * side - window + 1;
      const float value = biases.planes[dy * biases.pitch + dx + window - 1] * scale;
      float sum = 0.0f;
      // forward: strip(below, dy, x) = log_sum of table(dy, x - kx), kx from 0 or from the columns on
      for (int below = r.columns < r.all_columns ? 0 : 1; below < (r.rows < r.all_rows ? 2 : 1); ++below)
        for (int x = max(0, dx + (below ? 0 : r.columns)); x < min(r.columns, dx + r.all_columns); ++x) {
          const int at = (below * side + dy) * window + x;
          if (of_strips[at] != 0.0f) sum += of_strips[at] * exp2_approximate(value - biases.strips[at]);
        }
      const int kx = max(0, -dx); // any pair of columns that lie so far apart
      pairs[(dy * window + kx) * window + kx + dx] += sum;
    }
  }

  // This block's sums [side^2 + 2 head_dim].
  __device__ void put(float *partial, const Map &map) const {
    const int window = map.window, side = 2 * window - 1;
    for (int i = threadIdx.x; i < side * side; i += blockDim.x) {
      const int dy = i / side, dx = i - dy * side - window + 1;
      float sum = 0.0f;
      for (int kx = max(0, -dx); kx < min(window, window - dx); ++kx)
        sum += pairs[(dy * window + kx) * window + kx + dx];
      partial[i] = sum;
    }
    for (int i = threadIdx.x; i < 2 * map.head_dim; i += blockDim.x) partial[side * side + i] = padding[i];
  }
};

// Adds up what all blocks of a head have put, in their order. For the last of them.
__device__ inline void sum_blocks(const float *partial, float *dtable, bool add_table, float *dbias,
                                  bool add_bias, const Map &map) {
  const int table = (2 * map.window - 1) * (2 * map.window - 1), all = table + 2 * map.head_dim;
  for (int i = threadIdx.x; i < all; i += blockDim.x) {
    float sum[1] = {0.0f};
#pragma unroll 8
    for (int block = 0; block < gridDim.y; ++block) sum[0] += partial[static_cast<size_t>(block) * all + i];
    const int part = 1 + (i - table) / map.head_dim, number = (i - table) % map.head_dim;
    if (i < table && dtable != nullptr)
      put<float, 1>(dtable + static_cast<size_t>(i) * map.heads + map.head(), sum, add_table);
    if (i >= table && dbias != nullptr)
      put<float, 1>(dbias + (part * map.heads + map.head()) * map.head_dim + number, sum, add_bias);
  }
  if (dbias == nullptr || add_bias) return;
  // Padded positions are no queries.
  for (int i = threadIdx.x; i < map.head_dim; i += blockDim.x) dbias[map.head() * map.head_dim + i] = 0.0f;
}
