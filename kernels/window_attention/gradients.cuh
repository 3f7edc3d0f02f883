// Gradients that windows share: the table's, and those of padding's k and v, summed over a block's
// rectangles in shared memory, then over blocks.
#pragma once

#include "../common/last_block.cuh"
#include "tiles.cuh"

// Of what a block sums for the table.
__device__ inline int table_length(const Map &map) { return (displacements(map) + 7) / 8 * 8; }

template <typename T> struct Gradients {
  // Gradients of scores, keys by queries of a group, `pitch` bytes a key: neither rows that ldmatrix reads
  // at once nor threads that sum up diagonals meet in a bank.
  Shared<T> ds;
  int pitch;
  // Sums over windows: by distance of rows, column of the key and column of the query, the last one first;
  // and the padding's dk and dv.
  Shared<float> pairs, padding;
  Shared<float> of_padding; // a rectangle's gradients of scores with the padding, by position

  static __device__ int pitch_of(int tiles) {
    const int words = tiles * 16 * static_cast<int>(sizeof(T)) / 4, step = sizeof(T) == 2 ? 20 : 24;
    return (words + (step - words % 32 + 32) % 32) * 4;
  }

  __device__ void take(Pieces &memory, const Map &map, bool wanted) {
    const int side = 2 * map.window - 1;
    pairs = memory.take<float>(wanted ? side * map.window * map.window : 0);
    padding = memory.take<float>(wanted ? 2 * map.head_dim : 0);
    of_padding = memory.take<float>(wanted ? map.tiles * 16 : 0);
  }

  __device__ void begin(const Map &map) const {
    const int side = 2 * map.window - 1;
    const Shared<uint4> fours = {pairs.at};
    for (int i = threadIdx.x; i * 4 < side * map.window * map.window; i += blockDim.x) fours[i] = {};
    for (int i = threadIdx.x; i < 2 * map.head_dim; i += blockDim.x) padding[i] = 0.0f;
  }

  // Number of the sums for keys in column `kx` and queries in column `qx` that lie `dy` rows below.
  static __device__ int pair(int window, int dy, int kx, int qx) {
    return ((dy + window - 1) * window + kx + 1) * window - 1 - qx;
  }

  // Of `ds`: those of a query and of the one below it, which are neighbours.
  static __device__ void load_rows(float (&to)[2], unsigned at) {
    if constexpr (sizeof(T) == 4) {
      load_pair(to, at);
    } else {
      unsigned word;
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(at) : "memory");
      unpack_pair(word, to[0], to[1]);
    }
  }

  static __device__ void add(unsigned sum, float value) {
    store_word(sum, __float_as_uint(load_number(sum) + value));
  }

  // Goes down a column of keys beside four rows of one of queries: what lies as far apart as what came
  // before is in the next of four sums. `at` is the first key's, `sum` that of the largest distance.
  static __device__ void walk(unsigned at, unsigned sum, const Rectangle &r, int step, int down) {
    const int next = r.columns * 2 * static_cast<int>(sizeof(T));
    float of[3] = {};
#pragma unroll 4
    for (int key = 0; key < r.rows; ++key, at += step, sum -= down) {
      float upper[2], lower[2];
      load_rows(upper, at), load_rows(lower, at + next);
      add(sum, of[2] + lower[1]);
      of[2] = of[1] + lower[0], of[1] = of[0] + upper[1], of[0] = upper[0];
    }
#pragma unroll
    for (int i = 2; i >= 0; --i, sum -= down) add(sum, of[i]);
  }

  // Adds `ds` of the queries from `begin` to `end`. A thread has a column of keys and one of queries.
  __device__ void sum_group(const Rectangle r, int window, int begin, int end) const {
    const int size = sizeof(T), down = window * window * 4, step = r.columns * pitch;
    // Queries go on in pairs of rows.
    const int end_row = min(r.rows, (r.row(min(end, r.positions) - 1) & ~1) + 2);
    // A warp has columns of keys that meet nowhere: all of them one after the other where a row is as long as the
    // window, else every other one with eight lanes, or two neighbours with sixteen.
    const bool whole = r.columns == window, narrow = r.columns <= 8;
    const int all = whole ? window * window : narrow ? 64 : r.columns * 16;
#pragma unroll 1
    for (int i = of_thread(); i < all; i += blockDim.x) {
      const int kx = whole ? r.row(i) : narrow ? i / 8 % 4 * 2 + i / 32 : i / 16;
      const int qx = r.columns - 1 - (whole ? i - kx * window : narrow ? i % 8 : i % 16);
      if (kx >= r.columns || qx < 0) continue;
      const unsigned keys = ds.address() + kx * pitch - begin * size;
#pragma unroll 1
      for (int y = r.row(begin) & ~1; y < end_row;) {
        const int first = r.query(y, 0), query = r.query(y, qx);
        const unsigned sums = pairs.address() + pair(window, y, kx, qx) * 4;
        if (y % 2 == 0 && y + 4 <= r.rows && first >= begin && first + 4 * r.columns <= end) {
          walk(keys + query * size, sums + 3 * down, r, step, down);
          y += 4;
          continue;
        }
        if (query >= begin && query < end)
#pragma unroll 1
          for (int ky = 0; ky < r.rows; ++ky) {
            float value[1];
            load<T, 1>(&Shared<T>{ds.at + (ky * r.columns + kx) * pitch}[query - begin], value);
            add(sums - ky * down, value[0]);
          }
        ++y;
      }
    }
    if (!r.padded()) return;
    for (int i = begin + of_thread(); i < min(end, r.positions); i += blockDim.x) {
      float value[1];
      load<T, 1>(&Shared<T>{ds.at + r.positions * pitch}[i - begin], value);
      of_padding[r.position(i)] = value[0];
    }
  }

  // What the gradients of the scores with the padding are for the table: Biases::sum_padding backwards. All
  // threads; nobody reads `ds` any more.
  __device__ void sum_padding(const Rectangle r, const Biases &biases) const {
    const Strips of = Strips::of(r);
    const Shared<float> of_strips = {ds.at};
    const int window = biases.window;
    const float scale = biases.scale;
    each_of_lines(of.beside + of.below, r.columns, biases.pitch, [&](int line, int x) {
      const bool below = line >= of.beside;
      const int dy = of.distance(line), first = below ? r.rows : 0, end = below ? r.all_rows : r.rows;
      const float strip = biases.strips[line * r.columns + x];
      float sum = 0.0f;
      // forward: padding(y, x) = log_sum of strip(ky >= rows, y - ky, x)
#pragma unroll 2
      for (int y = max(0, dy + first); y < min(r.rows, dy + end); ++y)
        sum += of_padding[y * r.columns + x] * exp2_approximate(strip - biases.padding(y, x) * scale);
      of_strips[line * r.columns + x] = sum;
    });
    __syncthreads();
    const int lowest = of.below ? 1 - r.all_rows : 1 - r.rows, highest = of.beside ? r.rows - 1 : -1;
    const int width = r.columns + r.all_columns - 1;
    for (int i = of_thread(); i < (highest - lowest + 1) * width; i += blockDim.x) {
      const int dy = lowest + i / width, dx = i % width - r.all_columns + 1;
      const float value = biases.planes[biases.middle(dy) + dx] * scale;
      float sum = 0.0f;
      // forward: strip(below, dy, x) = log_sum of table(dy, x - kx), kx from 0 or from the columns on
      for (int below = 0; below < 2; ++below) {
        if (below ? !of.below || dy >= 0 : !of.beside || dy <= -r.rows) continue;
#pragma unroll 2
        for (int x = max(0, dx + (below ? 0 : r.columns)); x < min(r.columns, dx + r.all_columns); ++x) {
          const int at = of.strip(below, dy) * r.columns + x;
          if (of_strips[at] != 0.0f) sum += of_strips[at] * exp2_approximate(value - biases.strips[at]);
        }
      }
      const int kx = dx < 0 ? window - 1 : 0; // any pair of columns that lie so far apart
      pairs[pair(window, dy, kx, kx + dx)] += sum;
    }
  }

  // This block's sums, `part_length` of them.
  __device__ void put(float *part, const Map &map) const {
    const int window = map.window, side = 2 * window - 1, table = table_length(map);
    for (int dy = of_thread() / WARP; dy < side; dy += blockDim.x / WARP)
      for (int i = of_lane(); i < side; i += WARP) {
        const int dx = i - window + 1;
        unsigned at = pairs.address() + pair(window, dy - window + 1, 0, dx) * 4;
        float sum = 0.0f;
#pragma unroll 2
        for (int qx = dx; qx < window + dx; ++qx, at += (window - 1) * 4) // lanes keep side by side
          if (qx >= 0 && qx < window) sum += load_number(at);
        part[dy * side + i] = sum;
      }
    for (int i = of_thread(); i < 2 * map.head_dim; i += blockDim.x) part[table + i] = padding[i];
  }
};

// Numbers of a block's sums: a head's table, then dk and dv of the padding. Whole sectors.
__device__ inline size_t part_length(const Map &map) {
  return table_length(map) + (2 * map.head_dim + 7) / 8 * 8;
}

// Adds up the parts of all blocks of a head, in their order: for the table in the first one's place. For the
// last of them.
__device__ inline void sum_blocks(float *parts, float *dbias, bool add_bias, const Map &map) {
  const int table = table_length(map), all = table + 2 * map.head_dim;
  for (int i = threadIdx.x; i < all; i += blockDim.x) {
    if (i >= displacements(map) && i < table) continue;
    float sum[1] = {0.0f};
#pragma unroll 8
    for (int block = 0; block < gridDim.y; ++block) sum[0] += parts[block * part_length(map) + i];
    const int part = 1 + (i - table) / map.head_dim, number = (i - table) % map.head_dim;
    if (i < table)
      parts[i] = sum[0];
    else if (dbias != nullptr)
      put<float, 1>(dbias + (part * map.heads + map.head()) * map.head_dim + number, sum, add_bias);
  }
  if (dbias == nullptr || add_bias) return;
  // Padded positions are no queries.
  for (int i = threadIdx.x; i < map.head_dim; i += blockDim.x) dbias[map.head() * map.head_dim + i] = 0.0f;
}
