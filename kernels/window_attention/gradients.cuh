// Gradients that windows share: the table's, and those of padding's k and v, summed over a block's
// rectangles in shared memory, then over blocks.
#pragma once

#include "../common/last_block.cuh"
#include "tiles.cuh"

template <typename T> struct Gradients {
  // Gradients of scores, keys by queries of a group, `pitch` bytes a key: neither rows that ldmatrix reads
  // at once nor threads that sum up diagonals meet in a bank.
  char *ds;
  int pitch;
  // Sums over windows: by distance of rows, column of the key and column of the query; and the padding's dk
  // and dv.
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

  // Of `ds`.
  static __device__ float number(unsigned at) {
    if constexpr (sizeof(T) == 4) return load_number(at);
    unsigned short value;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(value) : "r"(at) : "memory");
    return __uint_as_float(static_cast<unsigned>(value) << 16);
  }

  __device__ void begin(const Map &map) const {
    const int side = 2 * map.window - 1;
    for (int i = threadIdx.x; i < side * map.window * map.window; i += blockDim.x) pairs[i] = 0.0f;
    for (int i = threadIdx.x; i < 2 * map.head_dim; i += blockDim.x) padding[i] = 0.0f;
  }

  // Goes down a column of keys beside ROWS rows of one of queries, from row `y` on: what lies as far apart
  // as what came before is in the next of as many sums. `at` is the first key's, `sum` that of the largest
  // distance.
  template <int ROWS>
  __device__ void walk(unsigned at, unsigned sum, const Rectangle &r, int step, int down) const {
    const int next = r.columns * static_cast<int>(sizeof(T));
    float of[ROWS] = {};
#pragma unroll 4
    for (int key = 0; key < r.rows; ++key, at += step, sum -= down) {
#pragma unroll
      for (int i = 0; i < ROWS; ++i) of[i] += number(at + i * next);
      store_word(sum, __float_as_uint(load_number(sum) + of[ROWS - 1]));
#pragma unroll
      for (int i = ROWS - 1; i > 0; --i) of[i] = of[i - 1];
      of[0] = 0.0f;
    }
#pragma unroll
    for (int i = ROWS - 1; i > 0; --i, sum -= down)
      store_word(sum, __float_as_uint(load_number(sum) + of[i]));
  }

  // Adds `ds` of the queries from `begin` to `end`. A thread has a column of keys and one of queries.
  __device__ void sum_group(const Rectangle r, int window, int begin, int end) const {
    constexpr int ROWS = 4;
    const int last = min(end, r.positions), size = sizeof(T), down = window * window * 4,
              step = r.columns * pitch;
#pragma unroll 1
    for (int pair = threadIdx.x; pair < r.columns * r.columns; pair += blockDim.x) {
      const int kx = pair / r.columns, qx = pair - kx * r.columns;
      const int first = (begin - qx + r.columns - 1) / r.columns,
                after = (last - qx + r.columns - 1) / r.columns;
      unsigned at = shared_address(ds) + kx * pitch + (first * r.columns + qx - begin) * size;
      unsigned sum = shared_address(pairs) + ((first + window - 1) * window + kx) * window * 4 + qx * 4;
      int y = first;
#pragma unroll 1
      for (; y + ROWS <= after; y += ROWS, at += ROWS * r.columns * size, sum += ROWS * down)
        walk<ROWS>(at, sum + (ROWS - 1) * down, r, step, down);
#pragma unroll 1
      for (; y < after; ++y, at += r.columns * size, sum += down) walk<1>(at, sum, r, step, down);
    }
    if (!r.padded) return;
    for (int i = begin + threadIdx.x; i < last; i += blockDim.x) {
      float value[1];
      load<T, 1>(reinterpret_cast<const T *>(ds + r.positions * pitch) + i - begin, value);
      of_padding[i] = value[0];
    }
  }

  // What the gradients of the scores with the padding are for the table: Biases::sum_padding backwards. All
  // threads; nobody reads `ds` any more.
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
      for (int y = max(0, dy + (below ? r.rows : 0)); y < min(r.rows, dy + (below ? r.all_rows : r.rows));
           ++y)
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
